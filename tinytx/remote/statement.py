"""The signed statement that travels with a release: from a file, or signed here for each device."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tinytx.bundle import encode
from tinytx.errors import TrustError
from tinytx.files import read_bounded
from tinytx.release import serials
from tinytx.release.signing import fingerprint, sign
from tinytx.release.statement import MAX_BYTES, make, parse, seal, unseal
from tinytx.remote.answers import Status
from tinytx.remote.devices import Named

DAYS = 90


def read_envelope(path: Path, bundle: str) -> bytes:
    """The envelope of statement and signature in a file, which must speak of ``bundle``.

    Whether the signature is good is for the device to say. Raises :class:`TrustError`.
    """
    raw = read_bounded(path, MAX_BYTES)
    statement = parse(unseal(raw).statement.encode())
    if statement.bundle != bundle:
        raise TrustError(
            f"{path} speaks of the release {statement.bundle[:12]}, not of {bundle[:12]}"
        )
    return raw


@dataclass
class Signer:
    """Signs what a device needs: a serial number above the one that it has."""

    key: Path
    bundle: str
    channel: str = "stable"
    serial: int | None = None
    """The number that a person gave for every device."""
    _made: dict[tuple[int, str], bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raises :class:`UsageError` for what is no key, before any device is asked."""
        fingerprint(self.key)

    def envelope(self, named: Named, status: Status) -> bytes:
        """For a device that said ``status``; devices that need the same get the same.

        Raises :class:`TrustError` when the device claims a number that nobody signed or gave.
        """
        group = named.device.group
        with self._lock:  # one question for a passphrase at a time
            signer = fingerprint(self.key)
            serial = self.serial or self._next(named.name, status, serials.highest(signer))
            if (serial, group) not in self._made:
                now = datetime.now(UTC)
                made = make(self.bundle, serial, self.channel, group, DAYS, now)
                statement = encode(made)
                self._made[serial, group] = seal(statement, sign(statement, self.key))
                serials.signed(signer, serial)
            return self._made[serial, group]

    def _next(self, name: str, status: Status, highest: int) -> int:
        claimed = max((line.serial or 0 for line in status.releases), default=0)
        if claimed > highest + serials.LARGEST_JUMP:
            raise TrustError(
                f"{name} says that it had the serial number {claimed:,}, and the highest that was "
                f"signed here with this key is {highest:,}: so high a number is not signed because "
                "a device says so",
                f"if {claimed:,} is right, give the next one: --serial {claimed + 1}; if nobody "
                "ever gave it, that device is not to be trusted",
            )
        return max(claimed, 0) + 1
