"""A channel's file, asked for in a way that costs a server nothing when nothing is new.

What was read last, and the validators that came with it, lie in the store. A server that says
"not modified" (304) sends no body, and what the store holds counts. Once a day the file is read
whole in any case: validators came with an answer, and who could forge one answer must not be able
to keep a device from every later one.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tinytx.bundle import encode
from tinytx.errors import DeviceError, os_errors_as
from tinytx.files import open_waiting_for_nobody
from tinytx.release import disk, statement
from tinytx.release.statement import Envelope
from tinytx.release.web import Web, bounded

NAME = "pull.json"
MAX_MEMORY_BYTES = 256_000
MAX_VALIDATOR = 200
WHOLE_EVERY_SECONDS = 86_400.0
CHANNEL_SECONDS = 60.0
"""The longest that the small file may take."""


class Tried(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A bundle whose proof did not succeed here."""

    bundle: str
    times: int
    why: str


class Memory(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What this device knows from earlier pulls."""

    schema: int = 1
    url: str = ""
    """Of the channel's file."""
    etag: str = ""
    last_modified: str = ""
    read_at: float = 0.0
    """Seconds since 1970, by the device's clock: when the file was last read whole."""
    envelope: Envelope | None = None
    validators: dict[str, str] = {}
    """What a server said of files that came in part: strong validators by sha256."""
    tried: Tried | None = None


@dataclass(frozen=True)
class Reading:
    """What a channel says."""

    envelope: Envelope
    fresh: bool
    """Whether it was sent, and not only said to be as before."""
    etag: str
    last_modified: str


def recall(root: Path, url: str) -> Memory:
    """What is known; of another address only which bundle was tried. Damage counts as nothing."""
    try:
        with open_waiting_for_nobody(root / NAME) as file:
            memory = msgspec.json.decode(file.read(MAX_MEMORY_BYTES), type=Memory)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return Memory(url=url)
    return memory if memory.url == url else Memory(url=url, tried=memory.tried)


def remember(root: Path, memory: Memory) -> None:
    """Raises :class:`DeviceError`."""
    with os_errors_as(DeviceError, "remember what was pulled"):
        disk.write(root / NAME, encode(memory))


def read(web: Web, memory: Memory, seconds: float) -> Reading:
    """Ask for the channel's file, unless nothing is new, for at most ``seconds``.

    Raises :class:`DeviceError` when it cannot be read, :class:`TrustError` when it is none.
    """
    with web.ask(memory.url, _conditions(memory), min(seconds, CHANNEL_SECONDS)) as answer:
        if answer.status == 304 and memory.envelope is not None:
            return Reading(memory.envelope, False, memory.etag, memory.last_modified)
        if answer.status != 200:
            raise DeviceError(f"{memory.url} answered {answer.status} to a plain question")
        raw = bounded(answer, memory.url, statement.MAX_BYTES)
        etag, changed = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    envelope = statement.unseal(raw)
    return Reading(envelope, True, *(value if fit(value) else "" for value in (etag, changed)))


def accept(memory: Memory, reading: Reading) -> None:
    """Keep what was read; to be done when it is trusted, not before."""
    if reading.fresh:
        memory.etag, memory.last_modified = reading.etag, reading.last_modified
        memory.envelope, memory.read_at = reading.envelope, time.time()


def _conditions(memory: Memory) -> dict[str, str]:
    recent = 0.0 <= time.time() - memory.read_at < WHOLE_EVERY_SECONDS
    if memory.envelope is None or not recent:
        return {}
    if memory.etag:
        return {"If-None-Match": memory.etag}
    return {"If-Modified-Since": memory.last_modified} if memory.last_modified else {}


def fit(validator: str) -> bool:
    """Whether a validator may be kept and sent back."""
    return validator.isascii() and validator.isprintable() and len(validator) <= MAX_VALIDATOR
