"""The signed statement that travels with a release, from a file."""

from pathlib import Path

from tinytx.errors import TrustError
from tinytx.files import read_bounded
from tinytx.release.statement import MAX_BYTES, parse, unseal


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
