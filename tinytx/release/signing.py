"""Signs a statement with a key of the user's: a file, or one that their agent holds."""

import tempfile
from pathlib import Path

from tinytx.errors import DeviceError, UsageError, os_errors_as
from tinytx.release import keygen


def sign(statement: bytes, key: Path) -> str:
    """The armored signature of a statement's text.

    ``key`` is a private key, or a public one whose private half the agent has. A passphrase is
    asked for at the terminal by ``ssh-keygen`` itself. Raises :class:`UsageError` when it cannot.
    """
    _require(key)
    with (
        os_errors_as(DeviceError, "sign the release"),
        tempfile.TemporaryDirectory(prefix="tinytx-sign-") as folder,
    ):
        text = Path(folder) / "statement"
        text.write_bytes(statement)
        said = keygen.run(keygen.sign_words(key, text), seconds=keygen.SIGN_SECONDS)
        if said.code == 0:
            return text.with_name("statement.sig").read_text(encoding="ascii")
    raise UsageError(
        f"{key} did not sign the release: {said.reason}",
        "a key with a passphrase needs a terminal or an agent (ssh-add); then give its .pub file",
    )


def fingerprint(key: Path) -> str:
    """The fingerprint of a key; no passphrase is needed. Raises :class:`UsageError`."""
    _require(key)
    said = keygen.run(keygen.fingerprint_words(key))
    if said.code != 0 or not said.fingerprint:
        raise UsageError(f"{key} holds no SSH key: {said.reason}")
    return said.fingerprint


def signed_by(statement: bytes, signature: str) -> str:
    """The fingerprint of the key that signed, whoever that is; empty for a damaged signature."""
    with tempfile.TemporaryDirectory(prefix="tinytx-sign-") as folder:
        file = Path(folder) / "signature"
        file.write_text(signature, encoding="utf-8")
        said = keygen.run(keygen.whole_words(file), statement)
    return said.fingerprint if said.code == 0 else ""


def _require(key: Path) -> None:
    if not key.is_file():
        raise UsageError(
            f"there is no key {key}", "make one with: ssh-keygen -t ed25519 -f release-key"
        )
