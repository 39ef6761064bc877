"""A process that runs the bundle: what it may not do is found when it is done."""

from pathlib import Path

import pytest

from tinytx.checklist import running
from tinytx.checklist.items import State

SAYS = 'print("telemetry 1", flush=True)\n'


@pytest.fixture(autouse=True)
def without_a_say_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)


@pytest.mark.long
def test_a_bundle_is_run_without_a_socket_and_with_telemetry_off(tiny_bundle: Path) -> None:
    telemetry, offline = running.telemetry_and_offline(tiny_bundle)
    assert telemetry.state is State.DONE, telemetry
    assert offline.state is State.DONE, offline


def test_telemetry_that_a_user_has_turned_on_is_found(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    telemetry, offline = running.telemetry_and_offline(tiny_bundle)
    assert (telemetry.state, offline.state) == (State.NOT_DONE, State.DONE)
    assert "was '0' when onnxruntime was imported" in telemetry.told


@pytest.mark.parametrize(
    "opens",
    [
        "import socket; socket.socket()",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)",  # as a native library does
        "import os\nif os.fork() == 0:\n    import socket; socket.socket()\n"
        "os._exit(os.waitstatus_to_exitcode(os.wait()[1]) and 3)",
    ],
)
def test_a_socket_is_found_whoever_opens_it(opens: str, tmp_path: Path) -> None:
    telemetry, offline = running.telemetry_and_offline(tmp_path, SAYS + opens)
    assert telemetry.state is State.DONE
    assert offline.state is not State.DONE
    if "fork" not in opens:
        assert offline.state is State.NOT_DONE
        assert "opened a socket" in offline.told


def test_what_cannot_be_run_or_not_be_watched_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry, offline = running.telemetry_and_offline(tmp_path, "raise OSError('no library')")
    assert telemetry.state is offline.state is State.UNKNOWN
    assert "no library" in offline.told
    monkeypatch.setattr(running, "FILTER", "import sys; sys.exit(77)")
    telemetry, offline = running.telemetry_and_offline(tmp_path, SAYS + "print('text 5')")
    assert (telemetry.state, offline.state) == (State.DONE, State.UNKNOWN)
    assert "no filter for system calls" in offline.told
    monkeypatch.setattr(running, "SECONDS", 0.5)
    late = running.telemetry_and_offline(tmp_path, "import time; time.sleep(60)")
    assert {found.state for found in late} == {State.UNKNOWN}
