"""Whether a device can take a release at all, from what it says about itself."""

import re
from datetime import UTC, datetime

from tinytx import __version__
from tinytx.errors import DeviceError
from tinytx.release.states import ON_TRIAL
from tinytx.remote.answers import Status
from tinytx.remote.devices import ARCHITECTURES, Named
from tinytx.remote.troubles import Refused

OLDEST_PYTHON = (3, 11)
CLOCK_SECONDS = 300.0
"""A clock that differs by more is told."""
SPARE_BYTES = 1_000_000
"""Beside the files: the journal, folders, a report."""


def check(named: Named, status: Status, release: str) -> list[str]:
    """What is worth saying about the device. Raises :class:`Refused` when it cannot take it."""
    _platform(named, status)
    _version(named, status)
    _occupied(named, status, release)
    return [*_clock(status), *status.notes]


def _platform(named: Named, status: Status) -> None:
    machine, wanted = status.machine, named.device.platform
    here = f"{machine.system} on {machine.architecture}"
    if machine.system.lower() != "linux":
        raise Refused(f"{named.name} runs {here}; releases are for Linux")
    if wanted is not None and machine.architecture != ARCHITECTURES[wanted]:
        raise Refused(
            f"{named.name} is {here}, not {wanted} as the devices file says",
            "is it the right host? else write its platform there",
        )


def _version(named: Named, status: Status) -> None:
    prepare = f"the same tinytx on both: tinytx deploy --prepare {named.name}"
    if numbers(status.machine.python)[:2] < OLDEST_PYTHON:
        least = ".".join(map(str, OLDEST_PYTHON))
        raise Refused(f"{named.name} has Python {status.machine.python}; {least} is the oldest")
    theirs, ours = numbers(status.tinytx)[:2], numbers(__version__)[:2]
    if theirs < ours:
        raise Refused(
            f"{named.name} has tinytx {status.tinytx}, this is tinytx {__version__}", prepare
        )


def _occupied(named: Named, status: Status, release: str) -> None:
    """Before the switch two workstations do not disturb each other; after it, only one may be."""
    other = status.deployment
    if other is None or other.release == release or other.state not in ON_TRIAL:
        return
    left = "" if other.deadline_in is None else f", decided within {other.deadline_in:.0f} s"
    raise Refused(
        f"{named.name} is trying another release, {other.release[:12]} ({other.state}{left})",
        f"wait for it, or take it back: tinytx rollback {named.name}",
    )


def _clock(status: Status) -> list[str]:
    try:
        theirs = datetime.fromisoformat(status.machine.clock)
    except ValueError:
        return [f"its clock says {status.machine.clock!r}, which is no time"]
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    ahead = (theirs - datetime.now(UTC)).total_seconds()
    if abs(ahead) <= CLOCK_SECONDS:
        return []
    way = "ahead of" if ahead > 0 else "behind"
    return [f"its clock is {told(abs(ahead))} {way} this machine's: dates of expiry mean little"]


def told(seconds: float) -> str:
    """A span of time for people."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def room_for(named: Named, status: Status, size: int) -> DeviceError | None:
    """The error if the store's disk has no room for so many bytes."""
    needed = size + SPARE_BYTES
    if status.free_bytes >= needed:
        return None
    return Refused(
        f"{named.name} has {status.free_bytes / 1e6:.1f} MB free where its store is; "
        f"the release needs {needed / 1e6:.1f} MB",
        "make room, for example by `tinytx release prune` there",
    )


def numbers(version: str) -> tuple[int, ...]:
    """``3.11.2`` as numbers, as far as they are some."""
    found: list[int] = []
    for part in version.split("."):
        if not re.fullmatch(r"[0-9]{1,9}", part):
            break
        found.append(int(part))
    return tuple(found)
