"""A folder that any static web server can offer to devices.

    CHANNEL.json       the envelope, statement and signature: the only file that ever changes
    statements/        SERIAL.json and SERIAL.json.sig, the same two apart: for ssh-keygen, or to
                       be carried to a device by hand
    manifests/ID.json  a bundle's manifest
    files/SHA256       what the manifests list, each content once
    .lock              held by whoever publishes

The envelope is written last: whoever reads it finds everything that it leads to.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tinytx.bundle import Bundle, FileFacts, encode
from tinytx.errors import DeviceError, TrustError, UsageError, os_errors_as
from tinytx.files import read_bounded
from tinytx.release import serials, signing, statement
from tinytx.release.statement import Statement, shown
from tinytx.workspace import atomic_file, atomic_write, remove_leftovers

FILES = "files"
MANIFESTS = "manifests"
STATEMENTS = "statements"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Wish:
    """What is to be published, and how."""

    bundle: Path
    folder: Path
    key: Path | None
    """Signs the statement; None: nobody does."""
    channel: str = "stable"
    group: str = ""
    serial: int | None = None
    """None: one more than the highest in the folder."""
    expires_days: int = 90


@dataclass(frozen=True)
class Published:
    """What the channel says now, and what that took."""

    statement: Statement
    signed_by: str
    """The fingerprint of the key; empty for none."""
    changed: bool
    """Whether the channel says something else than before."""
    files: int
    """Files of bundles that were written, beside those that were there."""
    bytes: int
    """In them."""


@dataclass(frozen=True)
class _Said:
    """What a channel's file says."""

    statement: Statement
    signature: str


def publish(wish: Wish, now: datetime | None = None) -> Published:
    """Put a bundle into a channel. What is there already is not written again.

    A statement that says the same and has more than half of its days left stays. Raises
    :class:`BundleError`, :class:`UsageError` or, when the folder cannot be written,
    :class:`DeviceError`.
    """
    bundle = Bundle(wish.bundle)
    bundle.check_files()
    signer = signing.fingerprint(wish.key) if wish.key is not None else ""
    with os_errors_as(DeviceError, "publish the bundle"), _alone(wish.folder):
        remove_leftovers(wish.folder)
        now = now or datetime.now(UTC)  # by now whoever published just before has done so
        before = _channels(wish.folder)
        there = before.get(wish.channel)
        if there is not None and _says_the_same(there, bundle.id, signer, wish, now):
            written = _put_files(bundle, wish.folder)
            return Published(there.statement, signer, False, len(written), sum(written))
        made = _next_statement(wish, bundle.id, before, now)
        signature = signing.sign(encode(made), wish.key) if wish.key is not None else ""
        if signer:
            serials.signed(signer, made.serial)
        written = _put_files(bundle, wish.folder)
        _announce(wish, made, signature)
        return Published(made, signer, True, len(written), sum(written))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else publishes there. The kernel lets go for one that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _channels(folder: Path) -> dict[str, _Said]:
    """What every channel of the folder says. Raises :class:`UsageError` for a damaged one."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            envelope = statement.unseal(read_bounded(path, statement.MAX_BYTES))
            said = statement.parse(envelope.statement.encode())
        except TrustError as error:
            raise UsageError(
                f"{path} is no channel of tinytx: {error.message}",
                "move it away; --serial then says with which number the channel goes on",
            ) from error
        found[path.stem] = _Said(said, envelope.signature)
    return found


def _put_files(bundle: Bundle, folder: Path) -> list[int]:
    """Write what is missing or damaged there; returns the sizes of what was written."""
    written = []
    for name, facts in bundle.manifest.files.items():
        target = folder / FILES / facts.sha256
        if not _is(target, facts):
            _copy(bundle.folder / name, target, facts)
            written.append(facts.size)
    manifest, raw = folder / MANIFESTS / f"{bundle.id}.json", encode(bundle.manifest)
    if not manifest.is_file() or manifest.read_bytes() != raw:
        atomic_write(manifest, raw)
    return written


def _is(path: Path, facts: FileFacts) -> bool:
    """Whether a file holds what it should."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size == facts.size and (
                hashlib.file_digest(file, "sha256").hexdigest() == facts.sha256
            )
    except FileNotFoundError:
        return False


def _copy(source: Path, target: Path, facts: FileFacts) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as read, atomic_file(target) as file:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != facts.sha256:
            raise UsageError(f"{source} changed while it was published", "publish it again")


def _says_the_same(there: _Said, bundle_id: str, signer: str, wish: Wish, now: datetime) -> bool:
    said = there.statement
    same = (said.bundle, said.group) == (bundle_id, wish.group)
    by = signing.signed_by(encode(said), there.signature) if there.signature else ""
    lasts = said.expires_at - now > timedelta(days=wish.expires_days) / 2
    return same and by == signer and lasts and wish.serial in (None, said.serial)


def _next_statement(
    wish: Wish, bundle_id: str, before: dict[str, _Said], now: datetime
) -> Statement:
    """One serial runs through all channels, since a device may change from one to another."""
    latest = max((said.statement.made_at for said in before.values()), default=now)
    if latest > now:
        raise UsageError(
            f"this machine's clock says {shown(now)}, and {wish.folder} holds a statement of "
            f"{shown(latest)}",
            "set the clock first",
        )
    highest = max((said.statement.serial for said in before.values()), default=0)
    serial = highest + 1 if wish.serial is None else wish.serial
    if serial <= highest:
        raise UsageError(
            f"serial {serial} is not above {highest}, which {wish.folder} has given already: "
            "devices would refuse it, or take one for the other"
        )
    return statement.make(bundle_id, serial, wish.channel, wish.group, wish.expires_days, now)


def _announce(wish: Wish, made: Statement, signature: str) -> None:
    text, apart = encode(made), wish.folder / STATEMENTS / f"{made.serial}.json"
    atomic_write(apart, text)
    if signature:
        atomic_write(apart.with_name(f"{apart.name}.sig"), signature.encode())
    atomic_write(wish.folder / f"{wish.channel}.json", statement.seal(text, signature))
