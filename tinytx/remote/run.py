"""The one place where a command of a deployment is run, within limits of time and of output."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, BinaryIO, Literal

from tinytx.errors import PrerequisiteError

CHUNK = 1 << 16
MOST_WORDS = 1 << 20
"""Bytes of standard output and of standard error that are kept; a talkative end is cut off."""
TICK = 0.2
DRAIN_SECONDS = 2.0
"""How long the pipes of a command that has ended are read on: a child of it may hold them open."""

Sent = Callable[[int], None]


@dataclass(frozen=True)
class Limits:
    """How long a command may take, in seconds."""

    total: float
    idle: float = 60.0
    """While there is something to send: the longest time in which not a byte is taken."""


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int
    """The exit code; minus the signal's number; what ssh makes of it is no evidence (255)."""
    out: bytes = b""
    err: str = ""
    sent: int = 0
    """Bytes that it took on standard input."""
    limit: Literal["", "idle", "total", "stopped"] = ""
    """Why it was ended from here."""


class Stopped(Exception):
    """Ctrl-C or SIGTERM: whatever runs is ended."""


@dataclass
class _Pipes:
    """The pipes of a running command, none of which may block us."""

    process: "subprocess.Popen[bytes]"
    source: BinaryIO | None
    watch: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    pending: memoryview = field(default_factory=lambda: memoryview(b""))
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    sent: int = 0

    def __post_init__(self) -> None:
        for pipe, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.watch.register(pipe, selectors.EVENT_READ, kept)
        if self.process.stdin is not None:
            os.set_blocking(self.process.stdin.fileno(), False)
            self.watch.register(self.process.stdin, selectors.EVENT_WRITE)

    @property
    def sending(self) -> bool:
        return self.process.stdin is not None and not self.process.stdin.closed

    @property
    def open(self) -> bool:
        return bool(self.watch.get_map())

    def move(self) -> bool:
        """Move what can be moved within a tick; whether a byte of the source went out."""
        before = self.sent
        if not self.open:  # it closed its pipes: at its end, or to live on
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(TICK)
            return False
        for key, _ in self.watch.select(TICK):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if key.data is None:
                self._write(pipe)
            else:
                self._read(pipe, key.data)
        return self.sent > before

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.watch.close()

    def _read(self, pipe: IO[bytes], kept: bytearray) -> None:
        try:
            chunk = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._done(pipe)
        elif len(kept) < MOST_WORDS:
            kept += chunk

    def _write(self, pipe: IO[bytes]) -> None:
        if not self.pending:
            assert self.source is not None
            self.pending = memoryview(self.source.read(CHUNK))
            if not self.pending:
                self._done(pipe)
                return
        try:
            taken = os.write(pipe.fileno(), self.pending)
        except BlockingIOError:
            return
        except OSError:  # it reads no more; why is for its own words to say
            self._done(pipe)
            return
        self.pending = self.pending[taken:]
        self.sent += taken

    def _done(self, pipe: IO[bytes]) -> None:
        self.watch.unregister(pipe)
        with suppress(OSError):
            pipe.close()


def run(
    words: Sequence[str],
    source: BinaryIO | None = None,
    *,
    limits: Limits,
    stop: threading.Event | None = None,
    progress: Sent | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run one command to its end, feeding it ``source``.

    It gets a process group of its own, so that Ctrl-C reaches us alone, who end it. Raises
    :class:`PrerequisiteError` when the command is not installed, :class:`Stopped` after ``stop``.
    """
    process = _start(words, source is not None, environment)
    pipes = _Pipes(process, source)
    try:
        limit = _attend(pipes, limits, stop or threading.Event(), progress)
    finally:
        if process.poll() is None:
            end(process)
        pipes.close()
    if limit == "stopped":
        raise Stopped
    return Ended(
        code=process.returncode,
        out=bytes(pipes.out),
        err=pipes.err.decode("utf-8", "replace"),
        sent=pipes.sent,
        limit=limit,
    )


def _start(
    words: Sequence[str], feeding: bool, environment: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE if feeding else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            env=None if environment is None else {**os.environ, **environment},
        )
    except OSError as error:
        raise PrerequisiteError(
            f"cannot start {words[0]}: {error.strerror}", f"install {words[0]} on this machine"
        ) from error


def _attend(
    pipes: _Pipes, limits: Limits, stop: threading.Event, progress: Sent | None
) -> Literal["", "idle", "total", "stopped"]:
    """Until the command ends by itself, or must be ended, and why then."""
    began = moved = time.monotonic()
    ended = 0.0
    while True:
        if pipes.move():
            moved = time.monotonic()
            if progress is not None:
                progress(pipes.sent)
        now = time.monotonic()
        if pipes.process.poll() is not None:
            ended = ended or now
            if not pipes.open or now - ended > DRAIN_SECONDS:
                return ""
        if stop.is_set():
            return "stopped"
        if now - began > limits.total:
            return "total"
        if pipes.sending and now - moved > limits.idle:
            return "idle"


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a command of ours and its children: asked first, then made to."""
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with suppress(ProcessLookupError, PermissionError):  # children that did not listen
        os.killpg(process.pid, signal.SIGKILL)
