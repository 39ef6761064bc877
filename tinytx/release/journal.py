"""What was begun and what was done, a line each, on the disk before anything follows from it.

A line torn off by a loss of power was never acted upon: it is cut off. Damage anywhere else means
that the file cannot be believed; :mod:`tinytx.release.rebuild` then keeps it aside.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, get_args

from tinytx.errors import DeviceError
from tinytx.files import open_waiting_for_nobody
from tinytx.release import clock, disk, lock
from tinytx.release.states import STATES, Entry, Phase, State

_FIELDS = ("seq", "at", "boot", "uptime", "release", "state", "phase", "why", "by")
_CHECK = 16
_LONGEST_WHY = 500
_LONGEST = 64 << 20
RESERVE_BYTES = 64 << 10


@dataclass(frozen=True)
class Reading:
    """What a journal's file holds."""

    entries: list[Entry]
    """Every line that is whole, also of a damaged file."""
    size: int
    """Bytes up to the end of the last whole line; what follows was torn off."""
    damage: str
    """What is wrong with it; empty for nothing."""


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()[:_CHECK]


def _line(entry: Entry) -> bytes:
    document = {**entry.extra, **{name: getattr(entry, name) for name in _FIELDS}}
    return _canonical({**document, "check": _checksum(document)}) + b"\n"


def _parse(line: bytes) -> Entry | None:
    """None for anything but a line as :func:`_line` writes it."""
    try:
        document = json.loads(line)
        check = document.pop("check")
        if check != _checksum(document):
            return None
        known = {name: document.pop(name) for name in _FIELDS}
        entry = Entry(**known, extra=document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    sound = isinstance(entry.seq, int) and isinstance(entry.release, str)
    return entry if sound and entry.state in STATES and entry.phase in get_args(Phase) else None


def read(path: Path) -> Reading:
    """A journal's lines; one that is missing has none. Raises :class:`DeviceError`."""
    try:
        with open_waiting_for_nobody(path) as file:
            raw = file.read(_LONGEST + 1)
    except FileNotFoundError:
        return Reading([], 0, "")
    except OSError as error:
        raise DeviceError(f"cannot read {path}: {error.strerror}") from error
    long = len(raw) > _LONGEST
    size = raw.rfind(b"\n") + 1
    entries: list[Entry] = []
    damage = f"it is longer than {_LONGEST:,} bytes" if long else ""
    for number, line in enumerate(raw[:size].splitlines(), 1):
        entry = _parse(line)
        if entry is None or (entries and entry.seq != entries[-1].seq + 1):
            damage = damage or f"line {number} is not as it was written"
        if entry is not None:
            entries.append(entry)
    return Reading(entries, size, damage)


class Journal:
    """A journal that this process adds to. Whoever adds holds its lock, for an instant."""

    def __init__(self, root: Path, command: str) -> None:
        self.path = root / "journal"
        self._lock = root / "journal.lock"
        self._reserve = root / "reserve"
        self._command = command
        self._depth = 0

    @contextmanager
    def locked(self, patience: float = 10.0) -> Iterator[None]:
        """Nobody else adds a line or moves a link meanwhile; may be nested."""
        if self._depth:
            yield
            return
        with lock.held(self._lock, self._command, patience):
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def entries(self) -> list[Entry]:
        """Every line. Raises :class:`DeviceError` when the file is damaged."""
        return self._sound().entries

    def _sound(self) -> Reading:
        reading = read(self.path)
        if reading.damage:
            raise DeviceError(
                f"the journal {self.path} is damaged: {reading.damage}",
                "`tinytx release recover` keeps it aside and looks at what is on the disk",
            )
        return reading

    def add(
        self, release: str, state: State, phase: Phase, why: str = "", **extra: object
    ) -> Entry:
        """Write one line and see it on the disk. Raises :class:`DeviceError`."""
        with self.locked():
            reading = self._sound()
            number = reading.entries[-1].seq + 1 if reading.entries else 1
            entry = self._entry(number, release, state, phase, why, extra)
            try:
                self._append(_line(entry), reading.size)
            except OSError as error:
                raise DeviceError(f"cannot write {self.path}: {error.strerror}") from error
            return entry

    def replace(self, entries: list[Entry]) -> None:
        """Keep these lines and no others, numbered anew. The caller holds the lock."""
        kept = [replace(entry, seq=number) for number, entry in enumerate(entries, 1)]
        disk.write(self.path, b"".join(map(_line, kept)))

    def restart(self, release: str, state: State, phase: Phase, why: str, **extra: object) -> None:
        """Replace the file by a new one of one line."""
        with self.locked():
            disk.write(self.path, _line(self._entry(1, release, state, phase, why, extra)))

    def _entry(
        self,
        number: int,
        release: str,
        state: State,
        phase: Phase,
        why: str,
        extra: dict[str, object],
    ) -> Entry:
        return Entry(
            seq=number,
            at=clock.now(),
            boot=clock.boot(),
            uptime=round(clock.uptime(), 3),
            release=release,
            state=state,
            phase=phase,
            why=why[:_LONGEST_WHY],
            by=f"{os.getpid()} {self._command}",
            extra={name: value for name, value in extra.items() if value is not None},
        )

    @contextmanager
    def step(
        self, release: str, state: State, why: str = "", **extra: object
    ) -> Iterator[dict[str, object]]:
        """A line before, and one after unless it failed; the dictionary's items go into it."""
        self.add(release, state, "begin", why, **extra)
        found: dict[str, object] = {}
        yield found
        self.add(release, state, "done", why, **{**extra, **found})

    def give_up(self, release: str, why: str) -> None:
        """A release that was not switched to yet goes no further."""
        with self.locked(), self.step(release, "rolled-back", why):
            pass

    def _append(self, line: bytes, size: int) -> None:
        try:
            self._append_at(line, size)
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT) or not self._reserve.exists():
                raise
            self._reserve.unlink()  # kept for this: a full disk must not keep the old one away
            self._append_at(line, size)

    def _append_at(self, line: bytes, size: int) -> None:
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, size)  # what was torn off
            try:
                if os.pwrite(descriptor, line, size) != len(line):
                    raise OSError(ENOSPC, os.strerror(ENOSPC), str(self.path))
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if fresh:
            disk.sync(self.path.parent)


def keep_reserve(root: Path) -> None:
    """Set some room aside for the journal. On a disk too full even for that there is none."""
    path = root / "reserve"
    if not path.exists():
        with suppress(OSError):
            disk.write(path, bytes(RESERVE_BYTES), 0o600)
