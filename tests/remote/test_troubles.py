"""Whatever goes wrong on the way becomes one sentence, the right code, and what to do."""

from pathlib import Path

import pytest

from tinytx.errors import DeviceError
from tinytx.release import lock
from tinytx.remote.answers import Failure
from tinytx.remote.devices import Device, Named
from tinytx.remote.run import Ended
from tinytx.remote.troubles import AT_WORK, Busy, Lost, Refused, Verdict, explain, failed

PI = Named(name="pi", device=Device(host="me@pi.local"))
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Host key for pi.local has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("code", "said", "kind", "says", "remedy"),
    [
        (255, CHANGED, Refused, "host key of me@pi.local is not the one", "ssh-keygen -R pi.local"),
        (
            255,
            "No ED25519 host key is known for pi.local and you have requested strict checking.\n"
            "Host key verification failed.\n",
            Refused,
            "host key of me@pi.local is not known here",
            "ssh me@pi.local once",
        ),
        (
            255,
            "ssh: Could not resolve hostname pi.local: Name or service not known\n",
            Refused,
            "no host is called me@pi.local",
            "devices file",
        ),
        (
            255,
            "ssh: connect to host pi.local port 22: Connection refused\r\n",
            Lost,
            "refuses the connection",
            "ssh server",
        ),
        (
            255,
            "ssh: connect to host pi.local port 22: Connection timed out\n",
            Lost,
            "cannot be reached",
            "is it on",
        ),
        (
            255,
            "me@pi.local: Permission denied (publickey,password).\n",
            Refused,
            "does not let this user in",
            "ssh-copy-id me@pi.local",
        ),
        (
            255,
            "/home/me/.ssh/config: line 3: Bad configuration option: hots\n",
            Refused,
            "its own configuration: /home/me/.ssh/config: line 3",
            "",
        ),
        (255, "Timeout, server pi.local not responding.\n", Lost, "without an answer", ""),
        (255, "client_loop: send disconnect: Broken pipe\n", Lost, "without an answer", ""),
        (255, "", Lost, "the connection to pi ended without an answer", ""),
        (-9, "", Lost, "the connection to pi ended without an answer", ""),
        (137, "Killed\n", Lost, "ended without an answer", ""),
        (
            1,
            "sudo: a password is required\n",
            Refused,
            "does not let this user run tinytx",
            "tinytx deploy --prepare pi",
        ),
        (
            1,
            "sudo: unknown user tinytx\nsudo: error initializing audit plugin sudoers_audit\n",
            Refused,
            "is not set up for the way 'systemd'",
            "tinytx deploy --prepare pi",
        ),
        (
            1,
            "sudo: /opt/tinytx/bin/tinytx: command not found\n",
            Refused,
            "is not set up",
            "tinytx deploy --prepare pi",
        ),
        (127, "sh: 1: sudo: not found\n", Refused, "is not set up", "tinytx deploy --prepare pi"),
        (
            1,
            "Error response from daemon: No such container: tinytx-watch\n",
            Refused,
            "is not set up",
            "tinytx deploy --prepare pi",
        ),
        (
            127,
            "bash: line 1: python3: command not found\n",
            Refused,
            "no Python",
            "install python3",
        ),
        (
            126,
            "bash: /opt/tinytx/bin/tinytx: Exec format error\n",
            Refused,
            "another processor",
            "",
        ),
        (
            64,
            "tinytx: No such command 'release'.\nUsage: tinytx [OPTIONS] COMMAND [ARGS]...\n",
            Refused,
            "the tinytx on me@pi.local is too old",
            "tinytx deploy --prepare pi",
        ),
        (1, "Traceback (most recent call last):\nValueError: x\n", Refused, "ValueError: x", ""),
        (3, "", Refused, "exit code 3 and no answer", ""),
        (0, "", Lost, "gave no answer", ""),
    ],
)
def test_the_words_of_ssh_and_of_the_device_become_one_sentence(
    code: int, said: str, kind: type[DeviceError], says: str, remedy: str
) -> None:
    error = explain(PI, Ended(code=code, err=said))
    assert type(error) is kind
    assert error.exit_code == 10
    assert says in error.message
    assert "pi" in error.message
    assert remedy in error.remedy
    assert "\n" not in error.message


def test_a_tinytx_of_ones_own_that_is_not_there_is_named() -> None:
    plain = Named(name="lab", device=Device(host="lab", way="plain", tinytx="/there/tinytx"))
    said = "sh: 1: /there/tinytx: not found\n"
    error = explain(plain, Ended(code=127, err=said))
    assert "lab: /there/tinytx is not there" in error.message
    assert 'tinytx = "' in error.remedy


def test_a_login_script_that_prints_is_found_out() -> None:
    error = explain(PI, Ended(code=0, out=b"Welcome to \x1b[1mpi\n{}\n"))
    assert error.exit_code == 10
    assert "answered 'Welcome to" in error.message
    assert "\x1b" not in error.message
    assert ".bashrc" in error.remedy


@pytest.mark.parametrize("limit", ["idle", "total"])
def test_a_time_limit_is_no_answer(limit: str) -> None:
    error = explain(PI, Ended(code=-15, limit=limit))  # type: ignore[arg-type]
    assert isinstance(error, Lost)
    assert "did not answer in time" in error.message


@pytest.mark.parametrize(
    ("code", "kind", "ends_with"),
    [(7, Verdict, 7), (8, Verdict, 8), (9, Verdict, 9), (10, Refused, 10), (1, Refused, 10),
     (70, Refused, 10), (64, Refused, 10)],
)  # fmt: skip
def test_a_verdict_keeps_its_code_and_everything_else_is_the_devices_trouble(
    code: int, kind: type[DeviceError], ends_with: int
) -> None:
    error = failed(PI, Failure(error="why", exit_code=code, remedy="do this"))
    assert type(error) is kind
    assert (error.message, error.remedy, error.exit_code) == ("pi: why", "do this", ends_with)


def test_a_lock_that_another_command_holds_is_worth_another_try(tmp_path: Path) -> None:
    """In the device half's own words."""
    path = tmp_path / "lock"
    with (
        lock.held(path, "release prove"),
        pytest.raises(DeviceError) as told,
        lock.held(path, "release install", patience=0.0),
    ):
        pass
    assert AT_WORK in told.value.message
    error = failed(PI, Failure(error=told.value.message, exit_code=10))
    assert isinstance(error, Busy)
    assert "release prove" in error.message


@pytest.mark.parametrize(("code", "says"), [(7, "FAIL: "), (8, "--allow-invalid REASON")])
def test_a_verdict_without_advice_gets_some(code: int, says: str) -> None:
    assert says in failed(PI, Failure(error="next token, p95: no", exit_code=code)).remedy
