"""Is there a statement about this very bundle that is signed, in time, and by somebody known?"""

import base64
import struct
import tempfile
from pathlib import Path

from tinytx.checklist.items import Found, done, not_done, unknown
from tinytx.errors import DeviceError, TrustError, UsageError, os_errors_as
from tinytx.files import read_bounded
from tinytx.release import keygen, trust
from tinytx.release.policy import Policy
from tinytx.release.statement import MAX_BYTES, parse, unseal


def signed(bundle_id: str, envelope: Path, signers: Path | None) -> Found:
    """Judge the envelope as a device would that allows ``signers``.

    Without them whoever signed is taken, and named: whether that is the right one cannot be told.
    Raises :class:`UsageError` when a file cannot be read, :class:`BundleError` for the envelope.
    """
    raw = read_bounded(envelope, MAX_BYTES)
    try:
        sealed = unseal(raw)
        said = parse(sealed.statement.encode())
        if not sealed.signature:
            return not_done(f"the statement in {envelope} is not signed")
        if not keygen.available():
            return unknown(f"this machine has no {keygen.PROGRAM} to check it with")
        allowed = _line(sealed.signature) if signers is None else _read(signers)
        policy = Policy(channel=said.channel, group=said.group)
        with tempfile.TemporaryDirectory(prefix="tinytx-checklist-") as folder:
            (Path(folder) / trust.ALLOWED_SIGNERS).write_bytes(allowed)
            proof = trust.Signed(sealed.statement.encode(), sealed.signature)
            found = trust.judge(Path(folder), bundle_id, proof, policy, None)
    except (TrustError, DeviceError) as error:
        return not_done(error.message)
    if not found.by:
        return not_done(f"{signers} names nobody")
    by = f"serial {found.serial}, signed by {found.by}"
    if signers is None:
        return unknown(f"{by}; whether that key may sign, --signers FILE would tell")
    return done(by)


def _read(signers: Path) -> bytes:
    with os_errors_as(UsageError, f"read the allowed signers {signers}"):
        return signers.read_bytes()


def _line(armored: str) -> bytes:
    """A line of allowed signers for the key that a signature names."""
    key = keygen.read_signature(armored).key
    (length,) = struct.unpack_from(">I", key)
    kind = key[4 : 4 + length].decode("ascii", "replace")
    return f"whoever {kind} {base64.b64encode(key).decode()}\n".encode()
