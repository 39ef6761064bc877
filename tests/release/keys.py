"""Real keys, made by the real ssh-keygen, and what they sign."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tinytx.bundle import encode
from tinytx.release import keygen, statement
from tinytx.release.trust import Signed, Trusted, judge

BUNDLE = "ab" * 32
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Policy:
    """What a device follows."""

    channel: str = "stable"
    group: str = ""
    allow_old_clock: bool = False


def typed(*words: str | Path, text: bytes = b"") -> bytes:
    """What a program prints. Fails the test when the program does."""
    return subprocess.run([*map(str, words)], input=text, check=True, capture_output=True).stdout


def make_key(path: Path, passphrase: str = "", comment: str = "somebody") -> Path:
    typed("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", comment, "-f", path)
    return path


def public(key: Path) -> str:
    """Type and key, as they stand in a line of allowed signers."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def signature(key: Path, text: bytes, namespace: str = keygen.NAMESPACE) -> str:
    return typed("ssh-keygen", "-Y", "sign", "-f", key, "-n", namespace, text=text).decode()


def text_of(**changes: object) -> bytes:
    """A statement's text, sound unless ``changes`` says otherwise."""
    facts: dict[str, object] = {
        "bundle": BUNDLE, "serial": 5, "channel": "stable", "group": "",
        "made_at": NOW - DAY, "expires_at": NOW + 30 * DAY, **changes,
    }  # fmt: skip
    return encode(statement.Statement(**facts))  # type: ignore[arg-type]


def signed(key: Path, **changes: object) -> Signed:
    text = text_of(**changes)
    return Signed(text, signature(key, text))


def judged(
    store: Path,
    what: Signed | None,
    policy: Policy | None = None,
    committed: int | None = None,
    *,
    now: datetime = NOW,
    allow_older: bool = False,
) -> Trusted:
    return judge(
        store, BUNDLE, what, policy or Policy(), committed, now=now, allow_older=allow_older
    )
