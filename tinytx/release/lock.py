"""Locks that die with their holder, and name it while it lives.

``flock`` decides: the kernel lets go when the holder ends, however it ends. What the file says is
for people; it is never believed about whether the lock is held.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinytx.errors import DeviceError
from tinytx.release import clock

PATIENCE = 2.0
"""Seconds that a command waits for another one, which may be about to end."""
_PAUSE = 0.05


def _take(descriptor: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)


@contextmanager
def tried(path: Path, command: str, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock ``path`` if it can be had within ``patience`` seconds; says whether it is."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        held = _take(descriptor, patience)
        if held:
            _say(descriptor, command)
        yield held
        if held:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, command: str, patience: float | None = None) -> Iterator[None]:
    """Hold the lock ``path``. Raises :class:`DeviceError`, which names who holds it."""
    with tried(path, command, PATIENCE if patience is None else patience) as ours:
        if not ours:
            raise DeviceError(
                f"{described(holder(path))} is at work on the store {path.parent}",
                "try again when it has ended; a dead one holds nothing",
            )
        yield


def _say(descriptor: int, command: str) -> None:
    """Who holds it. A full disk must not keep anybody from a lock."""
    who = {
        "pid": os.getpid(),
        "boot": clock.boot(),
        "since": clock.now(),
        "command": command,
        "host": socket.gethostname(),
    }
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(who).encode(), 0)


def is_held(path: Path) -> bool:
    """Whether a living process holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def holder(path: Path) -> dict[str, object] | None:
    """What the living holder says of itself; None when nobody holds the lock."""
    if not is_held(path):
        return None
    try:
        who = json.loads(path.read_bytes())
    except (OSError, ValueError):
        who = None
    return who if isinstance(who, dict) else {}


def described(who: dict[str, object] | None) -> str:
    """A holder in words."""
    if not who:
        return "another tinytx"
    command, pid, host, since = (who.get(k) for k in ("command", "pid", "host", "since"))
    return f"`tinytx {command}` (process {pid} on {host}, since {since})"
