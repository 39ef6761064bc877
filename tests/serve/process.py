"""A real ``tinytx serve`` in a process of its own, on a port that the system chooses."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WAIT = 30.0
SLOW = Path(__file__).with_name("slow.py")
COMMAND = "from tinytx.cli.main import main; main()"


class Server:
    """A running server and what it said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._ear = threading.Thread(target=self._hear, daemon=True)
        self._ear.start()
        self.address = self._address()
        self.host, self.port = urlsplit(self.address).hostname or "", urlsplit(self.address).port

    def _address(self) -> str:
        assert self.process.stdout
        document = ""
        while not document.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            assert line, f"the server ended: {''.join(self.said)}"
            document += line
        found: str = json.loads(document)["address"]
        return found

    def _hear(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line)

    def ask(
        self, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers of an answer."""
        connection = HTTPConnection(self.host, self.port, timeout=WAIT)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, data, sent)
        answer = connection.getresponse()
        text, told = answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
        connection.close()
        is_json = told.get("content-type", "").startswith("application/json")
        return answer.status, json.loads(text) if is_json else text, told

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((self.host, self.port or 0), timeout=WAIT)

    def wait_for(self, words: str) -> None:
        """Until the server has said so."""
        end = time.monotonic() + WAIT
        while not any(words in line for line in self.said):
            assert time.monotonic() < end, f"no {words!r} in {self.said}"
            time.sleep(0.01)

    def sockets(self) -> int:
        """How many the process has open."""
        found = 0
        for file in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found += str(file.readlink()).startswith("socket:")
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(WAIT)
        self._ear.join(WAIT)
        return code


@contextmanager
def serving(bundle: Path | None, *flags: str) -> Iterator[Server]:
    """``tinytx serve`` with these flags; ended when it is not needed any more."""
    words = [str(bundle)] * bool(bundle)
    with _running("-c", COMMAND, "serve", *words, "--port", "0", "--json", *flags) as server:
        yield server


@contextmanager
def serving_slowly(
    bundle: Path,
    seconds: float,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    token: str = "",
    port: int = 0,
) -> Iterator[Server]:
    """The same server, but each step of its model takes so many seconds."""
    told = (json.dumps({"port": port, **(settings or {})}), json.dumps(limits or {}), token)
    with _running(str(SLOW), str(bundle), str(seconds), *told) as server:
        yield server


@contextmanager
def _running(*arguments: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "CI"},
    )
    try:
        yield Server(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
