"""The signed statement that travels with a release: from a file, or signed here for each device."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tinytx.bundle import encode
from tinytx.errors import TrustError
from tinytx.files import read_bounded
from tinytx.release.signing import fingerprint, sign
from tinytx.release.statement import MAX_BYTES, make, parse, seal, unseal
from tinytx.remote.answers import Status

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
    _made: dict[tuple[int, str], bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raises :class:`UsageError` for what is no key, before any device is asked."""
        fingerprint(self.key)

    def envelope(self, status: Status, group: str) -> bytes:
        """For a device that said ``status``; devices that need the same get the same."""
        serial = 1 + max((line.serial or 0 for line in status.releases), default=0)
        with self._lock:  # one question for a passphrase at a time
            if (serial, group) not in self._made:
                now = datetime.now(UTC)
                made = make(self.bundle, serial, self.channel, group, DAYS, now)
                statement = encode(made)
                self._made[serial, group] = seal(statement, sign(statement, self.key))
            return self._made[serial, group]
