"""The date of the newest statement that was trusted here: time has come at least so far."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tinytx.bundle import encode
from tinytx.errors import DeviceError, os_errors_as
from tinytx.files import open_waiting_for_nobody
from tinytx.release.statement import EARLIEST, LATEST, Moment

NAME = "newest"
MAX_BYTES = 1_000


class _Seen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    schema: int = 1
    made_at: Moment


def newest_seen(store_root: Path) -> datetime:
    """That date; the earliest possible one where none is known, or what is written is damaged."""
    try:
        with open_waiting_for_nobody(_place(store_root)) as file:
            made_at = msgspec.json.decode(file.read(MAX_BYTES), type=_Seen).made_at
    except (OSError, msgspec.MsgspecError, ValueError):
        return EARLIEST
    return made_at.astimezone(UTC) if EARLIEST <= made_at < LATEST else EARLIEST


def remember(store_root: Path, made_at: datetime) -> None:
    """Write it down, if it is newer than what is known."""
    from tinytx.workspace import atomic_write

    if made_at > newest_seen(store_root):
        with os_errors_as(DeviceError, "remember the newest statement"):
            atomic_write(_place(store_root), encode(_Seen(made_at=made_at)))


def _place(store_root: Path) -> Path:
    return store_root / "statements" / NAME
