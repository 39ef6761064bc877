"""What is signed about a release: which bundle, for whom, in which order, until when.

The text is canonical JSON (sorted keys, two-space indent), so that one statement has one spelling
and a signature of it means one thing. A statement travels with its signature in one file, an
envelope, so that whoever reads while it is replaced never sees one without the other.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from tinytx.bundle import encode
from tinytx.errors import TrustError, UsageError
from tinytx.wording import printable

SCHEMA = 1
MAX_BYTES = 64_000
"""Of a statement, of a signature, and of the envelope that holds both."""
CHANNEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""A channel's name is part of a file's name and of an address."""
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""No statement was made before tinytx was, and ``ssh-keygen`` is to understand every date."""

Id = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Serial = Annotated[int, Meta(ge=1, le=2**53)]
Moment = Annotated[datetime, Meta(tz=True)]
Channel = Annotated[str, Meta(pattern=rf"\A{CHANNEL}\Z")]
Group = Annotated[str, Meta(pattern=rf"\A({CHANNEL})?\Z")]


class Statement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One release in one channel."""

    schema: int = SCHEMA
    bundle: Id
    serial: Serial
    """Rises with every release: a device goes to no older one by itself."""
    channel: Channel
    group: Group
    """The devices it is for; empty for every one."""
    made_at: Moment
    expires_at: Moment
    """No device installs it from then on; one that runs it already goes on."""


class Envelope(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A statement's text and its armored signature (empty: it is not signed)."""

    schema: int = SCHEMA
    statement: str
    signature: str


Form = TypeVar("Form", Statement, Envelope)


def make(bundle: str, serial: int, channel: str, group: str, days: int, now: datetime) -> Statement:
    """A statement that expires ``days`` after ``now``. Raises :class:`UsageError`."""
    for what, name in (("channel", channel), ("group", group)):
        if not re.fullmatch(CHANNEL, name) and (name or what == "channel"):
            raise UsageError(
                f"{name!r} cannot be the name of a {what}: letters, digits, dots, dashes and "
                "underscores, a letter or digit first"
            )
    now = now.astimezone(UTC).replace(microsecond=0)
    if now < EARLIEST:
        raise UsageError(
            f"this machine's clock says {shown(now)}: a statement would bear a wrong date",
            "set the clock first",
        )
    made = Statement(
        bundle=bundle, serial=serial, channel=channel, group=group,
        made_at=now, expires_at=now + timedelta(days=days),
    )  # fmt: skip
    try:
        return parse(encode(made))
    except TrustError as error:
        raise UsageError(error.message) from error


def parse(text: bytes) -> Statement:
    """The statement of a text. Raises :class:`TrustError` unless it is spelled as we write it."""
    statement = _decode(text, Statement, "the release's statement")
    if text != encode(statement):
        raise TrustError("the release's statement is damaged: it is not as tinytx writes it")
    made, expires = statement.made_at, statement.expires_at
    if not EARLIEST <= made < expires < LATEST:
        raise TrustError(
            f"the release's statement is damaged: it was made at {shown(made)} and expires at "
            f"{shown(expires)}"
        )
    return statement


def seal(statement: bytes, signature: str) -> bytes:
    """The envelope of a statement's text and its signature."""
    return encode(Envelope(statement=statement.decode(), signature=signature))


def unseal(raw: bytes) -> Envelope:
    """The envelope in a file. Raises :class:`TrustError`; the statement in it may be anything."""
    return _decode(raw, Envelope, "the release's envelope of statement and signature")


def shown(moment: datetime) -> str:
    """A moment as messages show it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decode(raw: bytes, form: type[Form], what: str) -> Form:
    if len(raw) > MAX_BYTES:
        raise TrustError(f"{what} is larger than it may be ({MAX_BYTES:,} bytes)")
    try:
        document = msgspec.json.decode(raw, type=form)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise TrustError(f"{what} is damaged: {printable(str(error)[:200])}") from error
    if document.schema != SCHEMA:
        raise TrustError(
            f"{what} has schema {document.schema}; this tinytx reads schema {SCHEMA}",
            "install the tinytx that made it",
        )
    return document
