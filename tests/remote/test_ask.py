"""What devices say about themselves, and the way back."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.remote.device import Devices
from tinytx import __version__
from tinytx.cli.main import run

FIRST, SECOND = "1" * 64, "2" * 64


def says(current: str, *lines: tuple[str, str, str], **facts: Any) -> dict[str, Any]:
    """A plan: `release status` answers so."""
    machine = {"system": "linux", "architecture": "aarch64", "python": "3.11.2", "boot": "b"}
    document = {
        "schema": 1, "tinytx": __version__, "store": "/var/lib/tinytx", "current": current or None,
        "machine": {**machine, "clock": datetime.now(UTC).isoformat()}, "trust": "signatures",
        "releases": [
            {"id": release, "state": state, "phase": "done", "why": why, "at": "", "serial": None}
            for release, state, why in lines
        ],
        **facts,
    }  # fmt: skip
    return {"in": " status ", "before": True, "code": 0, "out": json.dumps(document)}


def answers(command: str, **document: Any) -> dict[str, Any]:
    return {"in": f" {command} ", "before": True, "code": 0, "out": json.dumps(document)}


LOST = {"in": " rollback ", "before": True, "code": 255}
COMMITTED = [(FIRST, "committed", ""), (SECOND, "committed", "")]
BACK = [(FIRST, "committed", ""), (SECOND, "rolled-back", "it talks nonsense")]


def test_each_device_has_a_row_and_those_without_an_answer_say_why(
    devices: Devices, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    devices.add("pi", "gone", "spare")
    lock = {"pid": 7, "since": "9 o'clock", "command": "release prove", "host": "pi"}
    devices.plan("pi", {**says(FIRST, *BACK, lock=lock, notes=["its disk is slow"]), "times": 2})
    devices.plan("gone", {"before": True, "err": "ssh: connect: No route to host\n"})
    way = {"release": SECOND, "state": "watched", "deadline_in": 20.0}
    old = {"clock": "1970-01-01T00:00:09Z", "system": "linux", "architecture": "", "python": ""}
    devices.plan("spare", says(FIRST, deployment=way, machine=old))
    assert run(["devices"]) == 10
    out, err = capsys.readouterr()
    assert out == ""
    assert "pi: 222222222222 is not served: it talks nonsense" in err
    assert "pi: `tinytx release prove` (process 7 on pi, since 9 o'clock) is at work" in err
    assert "pi: its disk is slow" in err
    assert "gone: gone cannot be reached: ssh: connect: No route to host" in err
    assert "gone: gone: " not in err
    row = next(line for line in err.splitlines() if "spare" in line)
    assert "222222222222 watched" in row
    assert "days behind" in row

    assert run(["devices", "pi", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["devices"]
    assert [(one["name"], one["status"]["current"]) for one in found] == [("pi", FIRST)]


def rolled(
    devices: Devices, capsys: pytest.CaptureFixture[str], *plans: dict[str, Any]
) -> tuple[int, str]:
    devices.add("pi")
    devices.plan("pi", *plans)
    code = run(["rollback", "pi", "--reason", "it talks nonsense"])
    return code, capsys.readouterr().err


def test_a_device_that_went_back_says_what_it_serves_again(
    devices: Devices, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = (says(SECOND, *COMMITTED), answers("rollback", release=SECOND), says(FIRST, *BACK))
    assert rolled(devices, capsys, *plans) == (0, "pi serves 111111111111 again\n")
    assert "--reason 'it talks nonsense'" in devices.calls(" rollback ")[0]["command"]


def test_a_lost_answer_is_not_asked_for_by_a_second_rollback(
    devices: Devices, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would go back by two releases."""
    code, err = rolled(devices, capsys, says(SECOND, *COMMITTED), LOST, says(FIRST, *BACK))
    assert code == 0
    assert "pi serves 111111111111 again" in err
    assert len(devices.calls(" rollback ")) == 1


def test_a_rollback_that_never_arrived_is_no_success(
    devices: Devices, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = (says(SECOND, *COMMITTED), LOST, says(SECOND, *COMMITTED))
    code, err = rolled(devices, capsys, *plans)
    assert code == 10
    assert "the connection to pi ended without an answer" in err


def test_one_device_at_a_time_is_taken_back(
    devices: Devices, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi", "spare", lines='group = "hall"')
    assert run(["rollback", "@hall"]) == 64
    assert "@hall is 2 devices" in capsys.readouterr().err
    assert run(["rollback", "pi", "--dry-run"]) == 0
    assert "release rollback" in capsys.readouterr().out
    assert devices.calls() == []
