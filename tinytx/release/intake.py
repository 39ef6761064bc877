"""Files on their way in: what is missing of an offered release, and one file after the other.

A transfer that was cut goes on where it stopped. Nothing gets its final name before its length and
its hash are right.
"""

import hashlib
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tinytx import bundle as bundles
from tinytx.errors import BundleError, DeviceError, TinytxError, os_errors_as
from tinytx.release import disk, lock
from tinytx.release.store import Store, is_id

_PIECE = 1 << 16
_SYNC_EVERY = 4 << 20
_MARGIN = 1 << 20
"""Bytes that stay free for what else is written."""


class Cut(DeviceError):
    """A file is not here; what came of it is kept unless it was wrong."""

    def __init__(self, message: str, kind: str, held: int, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind = kind
        """``offset``, ``cut``, ``idle``, ``length`` or ``hash``."""
        self.held = held
        """Bytes that are here now."""
        self.told = False
        """Whether the command has said so on stdout."""


@dataclass(frozen=True)
class Missing:
    """A file that has to be sent."""

    name: str
    sha256: str
    size: int
    held: int
    """Bytes that are here already: where a transfer goes on."""
    held_sha256: str
    """Of those bytes, so that the sender can see whether they are the right ones."""


@dataclass(frozen=True)
class Offer:
    """What the device says to a manifest."""

    bundle: str
    known: bool
    """Whether the release is in the store, whole."""
    missing: list[Missing]


def offer(store: Store, raw: bytes) -> Offer:
    """Keep a manifest and say what is missing. Raises :class:`BundleError` for a bad one."""
    manifest = bundles.parse_manifest(raw, Path("the offered manifest"))
    if store.is_whole(manifest.id):
        return Offer(manifest.id, True, [])
    disk.write(store.manifest(manifest.id), raw)
    missing = []
    for name, facts in manifest.files.items():
        if not held_somewhere(store, facts.sha256, facts.size):
            part = store.incoming / f"{facts.sha256}.part"
            held = part.stat().st_size if part.is_file() else 0
            if held > facts.size:
                disk.remove(part)
                held = 0
            so_far = disk.sha256(part) if held else ""
            missing.append(Missing(name, facts.sha256, facts.size, held, so_far))
    return Offer(manifest.id, False, missing)


def held_somewhere(store: Store, sha256: str, size: int) -> Path | None:
    """A file of this hash: one that came, or one of another release; looked at byte by byte."""
    for path in _candidates(store, sha256, size):
        if disk.sha256(path) == sha256:
            return path
    return None


def _candidates(store: Store, sha256: str, size: int) -> Iterator[Path]:
    yield store.incoming / sha256
    for release in store.installed():
        folder = store.release(release)
        with suppress(TinytxError):
            for name, facts in bundles.Bundle(folder).manifest.files.items():
                if (facts.sha256, facts.size) == (sha256, size):
                    yield folder / name


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, seconds: float) -> bytes | None:
        """At most ``size`` bytes; none at the end; None when nothing came for ``seconds``."""


class Descriptor:
    """A pipe, a socket or a file as a :class:`Source`."""

    def __init__(self, number: int) -> None:
        self._number = number

    def read(self, size: int, seconds: float) -> bytes | None:
        if not select.select([self._number], [], [], seconds)[0]:
            return None
        return os.read(self._number, size)


@dataclass
class _Transfer:
    """A part file that grows."""

    path: Path
    file: BinaryIO
    sha256: str
    size: int
    held: int
    digest: "hashlib._Hash"

    def add(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        before, self.held = self.held, self.held + len(data)
        if before // _SYNC_EVERY != self.held // _SYNC_EVERY:
            os.fsync(self.file.fileno())


def receive(
    store: Store,
    sha256: str,
    size: int,
    offset: int,
    source: Source,
    *,
    command: str = "release receive",
    idle: float = 30.0,
) -> int:
    """Take a file from ``offset`` on, which must be what is held; returns its size.

    Raises :class:`Cut` when it is not whole or not right after that, :class:`DeviceError` when
    another transfer is under way or the disk is full, and :class:`BundleError` for a file that no
    offered release has.
    """
    if not is_id(sha256) or not _is_offered(store, sha256, size):
        raise BundleError(
            f"no offered release has a file of {size:,} bytes with the sha256 {sha256[:64]}",
            "offer its manifest first",
        )
    whole, part = store.incoming / sha256, store.incoming / f"{sha256}.part"
    with (
        os_errors_as(DeviceError, "receive the file"),
        lock.held(store.receive_lock, command),
    ):
        if disk.sha256(whole) == sha256:
            return size
        with _opened(part) as file:
            transfer = _take_up(part, file, sha256, size)
            if transfer.held != offset:
                raise Cut(
                    f"{transfer.held:,} bytes of this file are held, not {offset:,}",
                    "offset",
                    transfer.held,
                    f"send it from byte {transfer.held} on",
                )
            _check_space(store, size - offset)
            try:
                _pour(transfer, source, idle)
            finally:
                file.flush()
                os.fsync(file.fileno())
        _publish(transfer, whole)
    return size


def _is_offered(store: Store, sha256: str, size: int) -> bool:
    for path in store.incoming.glob("*.manifest"):
        with suppress(TinytxError, OSError):
            manifest = bundles.parse_manifest(path.read_bytes(), path)
            if any((f.sha256, f.size) == (sha256, size) for f in manifest.files.values()):
                return True
    return False


def _opened(part: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(part, flags, 0o644), "r+b")


def _take_up(part: Path, file: BinaryIO, sha256: str, size: int) -> _Transfer:
    """Hash what is held. More than the whole cannot be a part of it."""
    digest, held = hashlib.sha256(), 0
    while chunk := file.read(disk.CHUNK):
        digest.update(chunk)
        held += len(chunk)
    if held > size:
        file.seek(0)
        file.truncate()
        digest, held = hashlib.sha256(), 0
    return _Transfer(part, file, sha256, size, held, digest)


def _check_space(store: Store, more: int) -> None:
    free = disk.free_bytes(store.root)
    if free < more + _MARGIN:
        raise DeviceError(
            f"the disk of {store.root} is too full: {free:,} bytes are free and {more:,} more "
            "have to come",
            "`tinytx release prune` removes old releases",
        )


def _pour(transfer: _Transfer, source: Source, idle: float) -> None:
    """Everything up to the size. Raises :class:`Cut`."""
    while transfer.held < transfer.size:
        data = source.read(min(_PIECE, transfer.size - transfer.held), idle)
        if data is None:
            raise Cut(
                f"nothing came for {idle:g} s; {transfer.held:,} of {transfer.size:,} bytes are "
                "kept",
                "idle",
                transfer.held,
            )
        if not data:
            raise Cut(
                f"the transfer was cut: {transfer.held:,} of {transfer.size:,} bytes are kept",
                "cut",
                transfer.held,
            )
        transfer.add(data)
    if source.read(1, min(idle, 1.0)):
        disk.remove(transfer.path)
        raise Cut(f"more than {transfer.size:,} bytes came", "length", 0, "send the file again")


def _publish(transfer: _Transfer, whole: Path) -> None:
    if transfer.digest.hexdigest() != transfer.sha256:
        disk.remove(transfer.path)
        raise Cut(
            "what came has another sha256 than was told; it was thrown away",
            "hash",
            0,
            "send the file from the start",
        )
    transfer.path.replace(whole)
    disk.sync(whole.parent)


def tidy(store: Store) -> None:
    """Take away what came and is part of a release by now. May be repeated. The manifest of a
    release that is damaged stays: what replaces its files comes under it."""
    for path in store.incoming.glob("*.manifest"):
        if store.is_whole(path.stem):
            path.unlink(missing_ok=True)
    for path in store.incoming.iterdir():
        if path.is_file() and path.stat().st_nlink > 1:  # a release holds the other name
            path.unlink()
