"""Does a release's statement allow it on this device? Every refusal is one sentence, exit code 9.

Two kinds of time are kept apart. A signature bears none, and the date in a statement is what its
signer claims: so a key must be valid *now*, or a stolen key that has expired could sign for the
past. But the clock of a small computer may say 1970, where an expired key counts as good: so
"now" is the latest of the clock and of the dates of all statements that were trusted here, the
one in hand included. A clock behind those dates cannot judge expiry; the device says so, and goes
by the serial number alone only if its owner allowed that.
"""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tinytx.errors import DeviceError, TrustError, os_errors_as
from tinytx.files import open_waiting_for_nobody
from tinytx.release import keygen, statement
from tinytx.release.seen import newest_seen, remember
from tinytx.release.statement import Statement, shown

ALLOWED_SIGNERS = "allowed_signers"
REVOKED_KEYS = "revoked_keys"
STATEMENTS = "statements"
TRANSPORT_ONLY = "this device trusts the transport only"
CLOCK_TOLERANCE = timedelta(minutes=10)
"""So far the clocks of who signs and of the device may be apart."""
MAX_ALLOWED_BYTES = 1_000_000
MAX_PRINCIPALS = 16


class Policy(Protocol):
    """What counts here of what the device's owner set in ``device.toml``."""

    @property
    def channel(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def allow_old_clock(self) -> bool: ...


@dataclass(frozen=True)
class Signed:
    """A statement's text and its armored signature, as they came."""

    statement: bytes
    signature: str


@dataclass(frozen=True)
class Trusted:
    """A release that may be installed here, and why."""

    serial: int | None
    channel: str
    expires: datetime | None
    by: str
    """The fingerprint of the key that signed; empty where only the transport is trusted."""
    note: str
    """What is to be recorded besides; empty for nothing."""


def check(
    store_root: Path,
    bundle_id: str,
    policy: Policy,
    committed_serial: int | None,
    *,
    allow_older: bool = False,
) -> Trusted:
    """Judge the statement that the store holds about a bundle.

    Raises :class:`TrustError` where it does not allow the bundle here.
    """
    signed = load(store_root, bundle_id)
    return judge(store_root, bundle_id, signed, policy, committed_serial, allow_older=allow_older)


def judge(
    store_root: Path,
    bundle_id: str,
    signed: Signed | None,
    policy: Policy,
    committed_serial: int | None,
    *,
    allow_older: bool = False,
    runs_already: bool = False,
    now: datetime | None = None,
) -> Trusted:
    """Judge a statement that may not be in the store yet: see :func:`check`.

    One about what ``runs_already`` may have expired: nothing is installed by it.
    """
    now = now or datetime.now(UTC)
    required = signatures_required(store_root)
    if required and not keygen.available():
        raise TrustError(
            f"no signature can be checked: this device has {ALLOWED_SIGNERS}, but no "
            f"{keygen.PROGRAM}",
            "install OpenSSH's client on it (Debian: apt-get install openssh-client)",
        )
    if signed is None or (required and not signed.signature):
        if required:
            raise TrustError(
                f"release {bundle_id[:12]} is not signed, and this device takes only signed ones",
                "publish it with --key",
            )
        return Trusted(None, policy.channel, None, "", TRANSPORT_ONLY)
    said = statement.parse(signed.statement)
    seen = newest_seen(store_root)
    newest = max(seen, said.made_at)
    by = _signer(store_root, signed, max(now, newest)) if required else ""
    _check_meaning(said, bundle_id, policy)
    _check_serial(said, committed_serial, allow_older)
    note = "" if required else TRANSPORT_ONLY
    if now < newest - CLOCK_TOLERANCE:
        note = "; ".join(filter(None, [note, _by_serial_alone(now, newest, policy)]))
    elif said.expires_at <= now and not runs_already:
        raise TrustError(
            f"the release's statement expired at {shown(said.expires_at)}", "publish it again"
        )
    if required:
        remember(store_root, newest)
    return Trusted(said.serial, said.channel, said.expires_at, by, note)


def signatures_required(store_root: Path) -> bool:
    """Whether ``allowed_signers`` names anybody. Raises :class:`TrustError` if it is unreadable."""
    path = store_root / ALLOWED_SIGNERS
    if not path.exists() and not path.is_symlink():
        return False
    try:
        with open_waiting_for_nobody(path) as file:
            raw = file.read(MAX_ALLOWED_BYTES + 1)
    except OSError as error:  # a link that leads nowhere too: no reason to trust everybody
        raise TrustError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > MAX_ALLOWED_BYTES:
        raise TrustError(f"{path} is larger than it may be ({MAX_ALLOWED_BYTES:,} bytes)")
    lines = (line.strip() for line in raw.splitlines())
    return any(line and not line.startswith(b"#") for line in lines)


def load(store_root: Path, bundle_id: str) -> Signed | None:
    """What the store holds about a bundle; None for nothing. Raises :class:`TrustError`."""
    text = _read(_place(store_root, bundle_id))
    if text is None:
        return None
    signature = _read(_place(store_root, bundle_id, ".sig"))
    return Signed(text, (signature or b"").decode("ascii", "replace"))


def keep(store_root: Path, bundle_id: str, signed: Signed) -> None:
    """Put a statement and its signature where :func:`check` finds them."""
    from tinytx.workspace import atomic_write

    with os_errors_as(DeviceError, "keep the release's statement"):
        _place(store_root, bundle_id, ".sig").unlink(missing_ok=True)
        atomic_write(_place(store_root, bundle_id), signed.statement)
        if signed.signature:
            raw = signed.signature.encode("ascii", "replace")
            atomic_write(_place(store_root, bundle_id, ".sig"), raw)


def _place(store_root: Path, bundle_id: str, more: str = "") -> Path:
    return store_root / STATEMENTS / f"{bundle_id}.json{more}"


def _read(path: Path) -> bytes | None:
    try:
        with open_waiting_for_nobody(path) as file:
            raw = file.read(statement.MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > statement.MAX_BYTES:
        raise TrustError(f"{path} is larger than it may be ({statement.MAX_BYTES:,} bytes)")
    return raw


def _check_meaning(said: Statement, bundle_id: str, policy: Policy) -> None:
    if said.bundle != bundle_id:
        raise TrustError(
            f"the statement is about another bundle: {said.bundle[:12]}, not {bundle_id[:12]}"
        )
    if said.channel != policy.channel:
        raise TrustError(
            f"the release is for the channel {said.channel}; this device follows {policy.channel}"
        )
    if said.group not in ("", policy.group):
        here = f"is in {policy.group}" if policy.group else "is in none"
        raise TrustError(f"the release is for the group {said.group}; this device {here}")


def _check_serial(said: Statement, committed: int | None, allow_older: bool) -> None:
    if committed is not None and said.serial < committed and not allow_older:
        raise TrustError(
            f"the release has serial {said.serial}, older than {committed}, which this device runs",
            "give --allow-older on the device if it is to go back",
        )


def _by_serial_alone(now: datetime, newest: datetime, policy: Policy) -> str:
    """What is recorded of a clock that cannot judge expiry. Raises unless that is allowed."""
    behind = (
        f"this device's clock says {shown(now)}, earlier than the newest statement it has seen "
        f"({shown(newest)})"
    )
    if policy.allow_old_clock:
        return f"{behind}: judged by serial alone"
    raise TrustError(
        f"{behind}: whether the release has expired cannot be told",
        "set the clock, or allow_old_clock = true in device.toml to go by the serial alone",
    )


def _signer(store_root: Path, signed: Signed, when: datetime) -> str:
    """The fingerprint of the key that signed. Raises :class:`TrustError` unless it may."""
    signature = keygen.read_signature(signed.signature)
    if signature.namespace != keygen.NAMESPACE:
        raise TrustError(
            f"the signature was made for {signature.namespace[:100]!r}, not for {keygen.NAMESPACE}"
        )
    with (
        os_errors_as(DeviceError, "check the release's signature"),
        tempfile.TemporaryDirectory(prefix="tinytx-trust-") as folder,
    ):
        file = Path(folder) / "signature"
        file.write_text(signed.signature, encoding="ascii")
        said = keygen.run(keygen.whole_words(file), signed.statement)
        if said.code != 0:
            raise TrustError(
                "the signature is not one of this statement: one of the two is damaged"
            )
        return _verified(store_root, file, signed.statement, said.fingerprint, when)


def _verified(store_root: Path, file: Path, text: bytes, key: str, when: datetime) -> str:
    allowed, revoked = store_root / ALLOWED_SIGNERS, store_root / REVOKED_KEYS
    found = keygen.run(keygen.principals_words(file, allowed, when))
    names = found.out.split("\n")[:MAX_PRINCIPALS]
    for name in filter(None, names):
        good = keygen.run(keygen.verify_words(file, allowed, name, when, None), text)
        if good.code != 0:
            found = good
            continue
        if not (revoked.exists() or revoked.is_symlink()):
            return good.fingerprint
        if keygen.run(keygen.verify_words(file, allowed, name, when, revoked), text).code == 0:
            return good.fingerprint
        raise TrustError(
            f"{REVOKED_KEYS} on this device refuses the key {key} that signed the release"
        )
    raise TrustError(_not_allowed(key, found, when))


def _not_allowed(key: str, found: keygen.Said, when: datetime) -> str:
    """Why no line of the allowed signers accepts a key: what ``ssh-keygen`` says beside "none"."""
    lines = [line for line in found.err.splitlines() if line.strip() and "No principal" not in line]
    if not lines:
        return f"the key {key} that signed the release is not in this device's {ALLOWED_SIGNERS}"
    why = keygen.Said(0, "", lines[-1]).reason
    return f"{ALLOWED_SIGNERS} does not accept the key {key} at {shown(when)}: {why}"
