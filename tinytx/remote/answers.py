"""What the device half says, as typed values: words on standard output, no exit code alone."""

from typing import Any, Literal, TypeVar

import msgspec

SCHEMA = 1
T = TypeVar("T", bound=msgspec.Struct)


class _Answer(msgspec.Struct, kw_only=True, frozen=True):
    """Common options: a device that is newer than we are may say more."""


class Machine(_Answer, frozen=True, kw_only=True):
    """The device as it describes itself."""

    system: str
    architecture: str
    """What ``uname -m`` says."""
    python: str
    clock: str
    """ISO 8601."""
    boot: str = ""


class Holder(_Answer, frozen=True, kw_only=True):
    """Who holds the store's lock."""

    pid: int = 0
    since: str = ""
    command: str = ""
    host: str = ""

    def __str__(self) -> str:
        who = f"process {self.pid} on {self.host}, since {self.since}"
        return f"`tinytx {self.command}` ({who})"


class Line(_Answer, frozen=True, kw_only=True):
    """The newest line of the journal about a release."""

    id: str
    state: str
    phase: str = "done"
    why: str = ""
    at: str = ""
    serial: int | None = None


class Deployment(_Answer, frozen=True, kw_only=True):
    """A release on its way: neither committed nor rolled back."""

    release: str
    state: str
    phase: str = "done"
    why: str = ""
    deadline_in: float | None = None
    """Seconds until the device goes back by itself."""


class Committed(_Answer, frozen=True, kw_only=True):
    """The newest release that the device has accepted."""

    release: str
    serial: int | None = None
    at: str = ""


class Status(_Answer, frozen=True, kw_only=True):
    """The answer of ``tinytx release status --json``."""

    schema: int
    tinytx: str
    store: str = ""
    machine: Machine
    current: str | None = None
    previous: str | None = None
    committed: Committed | None = None
    releases: list[Line] = []
    deployment: Deployment | None = None
    trust: str = ""
    lock: Holder | None = None
    free_bytes: int = 0
    notes: list[str] = []

    def line(self, release: str) -> Line | None:
        """The newest line about a release."""
        return next((line for line in self.releases if line.id == release), None)

    def serves(self, release: str) -> bool:
        """Whether the release is committed and is what ``current`` names."""
        return self.committed is not None and self.committed.release == release == self.current


class Missing(_Answer, frozen=True, kw_only=True):
    """A file that the device lacks."""

    name: str
    sha256: str
    size: int
    held: int = 0
    """Bytes of it that an earlier transfer left there."""


class Offer(_Answer, frozen=True, kw_only=True):
    """The answer of ``tinytx release offer``."""

    bundle: str
    known: bool
    missing: list[Missing]


class Received(_Answer, frozen=True, kw_only=True):
    """The answer of ``tinytx release receive``."""

    sha256: str = ""
    held: int
    done: bool
    error: str = ""


class Failure(_Answer, frozen=True, kw_only=True):
    """What the device half answers when it cannot do what it was asked."""

    error: str
    exit_code: int
    remedy: str = ""


class Probe(_Answer, frozen=True, kw_only=True):
    """The device's Python, asked before there is a tinytx."""

    schema: int
    system: str
    architecture: str
    python: str
    implementation: Literal["cpython"]
    libc: str


class Anything(_Answer, frozen=True, kw_only=True):
    """A JSON object whose contents do not matter: that it came is the answer."""


def parse(out: bytes, form: type[T]) -> T | None:
    """The one JSON document of an output; None when it is anything else."""
    try:
        return msgspec.json.decode(out, type=form)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def any_json(out: bytes) -> Any:
    """A JSON value of no stated form; None when it is none."""
    try:
        return msgspec.json.decode(out)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
