"""What systemd is told, and the socket that it keeps while a service restarts."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serve.process import COMMAND, WAIT

BODY = json.dumps({"prompt": "The river", "max_tokens": 4, "temperature": 0}).encode()
ASKED = (
    b"POST /v1/completions HTTP/1.1\r\nHost: [::1]\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)
HAND_OVER = 'exec 3<&"$1"; export LISTEN_PID=$$ LISTEN_FDS=1; shift; exec "$@"'
"""As systemd does it: the socket is descriptor 3, and the process is the one that was told."""


@contextmanager
def started(
    bundle: Path, held: socket.socket | None, **told: str
) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", COMMAND, "serve", str(bundle), "--port", "0", "--quiet"]
    fds: tuple[int, ...] = ()
    if held is not None:
        words = ["bash", "-c", HAND_OVER, "bash", str(held.fileno()), *words]
        fds = (held.fileno(),)
    with subprocess.Popen(words, env={**os.environ, **told}, pass_fds=fds) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(WAIT)


def test_systemd_hears_when_it_is_ready_that_it_lives_and_that_it_ends(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(WAIT)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with started(tiny_bundle, None, **told) as process:
            assert [ear.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            assert ended(process) == 0
        heard = b"WATCHDOG=1"
        while heard == b"WATCHDOG=1":
            heard = ear.recv(100)
        assert heard == b"STOPPING=1"


def test_who_asks_while_the_service_restarts_is_answered_and_not_refused(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        for _ in range(2):  # nobody accepts at first, nor between the two
            with socket.create_connection(held.getsockname(), timeout=WAIT) as client:
                client.sendall(ASKED)
                with started(tiny_bundle, held) as process:
                    assert client.recv(20).startswith(b"HTTP/1.1 200")
                    assert ended(process) == 0


def test_who_comes_after_the_service_was_told_to_end_waits_for_the_next_one(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(WAIT)
        with started(tiny_bundle, held, NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
            assert ear.recv(100) == b"READY=1"
            process.send_signal(signal.SIGTERM)
            assert ear.recv(100) == b"STOPPING=1"
            client = socket.create_connection(held.getsockname(), timeout=WAIT)
            client.sendall(ASKED)
            assert process.wait(WAIT) == 0
        with client, started(tiny_bundle, held):
            assert client.recv(20).startswith(b"HTTP/1.1 200")


def test_a_socket_meant_for_another_process_is_left_alone(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        told = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
        words = [sys.executable, "-c", COMMAND, "serve", str(tiny_bundle), "--port"]
        port = str(held.getsockname()[1])
        done = subprocess.run(
            [*words, port, "--quiet"], env={**os.environ, **told}, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in done.stderr


@pytest.mark.parametrize("text", ["x", "-5", ""])
def test_a_watchdog_time_that_is_none_is_no_watchdog(tiny_bundle: Path, text: str) -> None:
    held = socket.create_server(("127.0.0.1", 0))
    with held, socket.create_connection(held.getsockname(), timeout=WAIT) as client:
        client.sendall(ASKED)
        with started(tiny_bundle, held, WATCHDOG_USEC=text) as process:
            assert client.recv(20).startswith(b"HTTP/1.1 200")
            assert ended(process) == 0
