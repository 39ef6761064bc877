"""The user's own ``ssh-keygen``: what is asked of it, as lists of words, and the place that asks.

Keys, agents, certificates and revocation stay OpenSSH's. Its exit code is 255 for whatever is
wrong and its words differ by version, so what can be told without it is (:func:`read_signature`).
"""

import base64
import binascii
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tinytx.errors import DeviceError, TrustError
from tinytx.wording import printable

NAMESPACE = "tinytx-release"
PROGRAM = "ssh-keygen"
CHECK_SECONDS = 30.0
SIGN_SECONDS = 300.0
"""Somebody may have to type a passphrase or touch a security key."""
_ARMOR = re.compile(
    r"\s*-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*",
    re.ASCII,  # it is written into a file as it came
)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True)
class Signature:
    """What a signature says of itself; only ``ssh-keygen`` can say whether it is true."""

    key: bytes
    """The public key, or the certificate, in the form that OpenSSH hashes."""
    namespace: str

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.key).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class Said:
    """How ``ssh-keygen`` ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """Its own last words that say something, fit for a message."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        return printable(lines[-1][-200:]) if lines else "it gave no reason"

    @property
    def fingerprint(self) -> str:
        """Of the key that it names; empty for none."""
        found = _FINGERPRINT.search(self.out)
        return found[0] if found else ""


def sign_words(key: Path, file: Path) -> list[str]:
    """Sign ``file`` into ``file.sig``; ``key`` is a private key, or the public one of an agent's.

    The text is no standard input: without a terminal the passphrase would be read from it.
    """
    return [PROGRAM, "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(file)]


def whole_words(signature: Path) -> list[str]:
    """Whether the signature is one of the text on standard input, whoever made it."""
    return [PROGRAM, "-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)]


def principals_words(signature: Path, allowed: Path, when: datetime) -> list[str]:
    """Who, by the allowed signers, may have signed at ``when``: a name a line."""
    return [
        *(PROGRAM, "-Y", "find-principals", f"-Overify-time={stamp(when)}"),
        *("-s", str(signature), "-f", str(allowed)),
    ]


def verify_words(
    signature: Path, allowed: Path, principal: str, when: datetime, revoked: Path | None
) -> list[str]:
    """Whether ``principal`` signed the text on standard input, by the rules of ``when``."""
    return [
        *(PROGRAM, "-Y", "verify", f"-Overify-time={stamp(when)}", "-n", NAMESPACE),
        *("-s", str(signature), "-f", str(allowed), "-I", principal),
        *(() if revoked is None else ("-r", str(revoked))),
    ]


def fingerprint_words(key: Path) -> list[str]:
    """The fingerprint of a key, without its passphrase."""
    return [PROGRAM, "-l", "-E", "sha256", "-f", str(key)]


def stamp(when: datetime) -> str:
    """A moment as ``verify-time`` takes it; without the Z it would be local time."""
    return when.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")


def available() -> bool:
    """Whether this machine has ``ssh-keygen``."""
    return shutil.which(PROGRAM) is not None


def run(words: list[str], text: bytes | None = None, seconds: float = CHECK_SECONDS) -> Said:
    """Ask; the only place that does. Raises :class:`DeviceError` where no answer comes."""
    try:
        done = subprocess.run(
            words,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            timeout=seconds,
            check=False,
            env=_environment(),
            start_new_session=not _asked_by_a_person(),  # then it finds no terminal to ask at
        )
    except FileNotFoundError as error:
        raise DeviceError(
            f"this machine has no {PROGRAM}", "install OpenSSH's client (Debian: openssh-client)"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or f"no answer within {seconds:g} s"
        raise DeviceError(f"cannot run {PROGRAM}: {why}") from error
    out, err = (raw.decode("utf-8", "replace") for raw in (done.stdout, done.stderr))
    return Said(done.returncode, out, err)


def _asked_by_a_person() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _environment() -> dict[str, str]:
    """Ours, in plain English; no window asks for a passphrase unless that was asked for."""
    environment = {**os.environ, "LC_ALL": "C"}
    if not _asked_by_a_person():
        environment.setdefault("SSH_ASKPASS_REQUIRE", "never")
    return environment


def read_signature(armored: str) -> Signature:
    """Key and namespace of an armored signature. Raises :class:`TrustError` for anything else."""
    found = _ARMOR.fullmatch(armored)
    try:
        raw = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
        if raw[:6] != b"SSHSIG" or struct.unpack_from(">I", raw, 6) != (1,):
            raise ValueError
        key, after = _string(raw, 10)
        namespace, _ = _string(raw, after)
        return Signature(key, namespace.decode())
    except (ValueError, struct.error, binascii.Error) as error:
        raise TrustError("the release's signature is damaged: it is none of ssh-keygen") from error


def _string(raw: bytes, place: int) -> tuple[bytes, int]:
    """A string as the SSH protocol writes it: four bytes of length, then the bytes."""
    (length,) = struct.unpack_from(">I", raw, place)
    end = place + 4 + length
    if end > len(raw):
        raise ValueError("cut off")
    return raw[place + 4 : end], end
