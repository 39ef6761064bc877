"""What a release goes through, in words, and what the journal's lines say of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

State = Literal["received", "verified", "proved", "switched", "watched", "committed", "rolled-back"]
Phase = Literal["begin", "done"]
STATES: tuple[State, ...] = get_args(State)
"""In their order; from any of them the way back leads to ``rolled-back``."""
BEFORE_SWITCH: tuple[State, ...] = ("received", "verified", "proved")
ON_TRIAL: tuple[State, ...] = ("switched", "watched")
FINAL: tuple[State, ...] = ("committed", "rolled-back")


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    seq: int
    at: str
    """ISO 8601, UTC, by the device's own calendar."""
    boot: str
    uptime: float
    """Seconds since that boot."""
    release: str
    state: State
    phase: Phase
    why: str
    by: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def serial(self) -> int | None:
        value = self.extra.get("serial")
        return value if isinstance(value, int) else None

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.state in FINAL and self.phase == "done"


def newest(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The last line about each release, the release of the oldest such line first."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.pop(entry.release, None)
        found[entry.release] = entry
    found.pop("", None)
    return found


def committed(entries: Iterable[Entry]) -> Entry | None:
    """The line that committed the release which is in force: the last one, unless it was taken
    back since; then that of the release before."""
    lines: dict[str, Entry] = {}
    now: Entry | None = None
    for entry in entries:
        if entry.phase != "done":
            continue
        if entry.state == "committed":
            now = lines[entry.release] = entry
        elif now is not None and entry.release == now.release and _took_back(entry):
            now = lines.get(str(entry.extra["to"]))
    return now


def _took_back(entry: Entry) -> bool:
    """Whether links were moved; what fails before the switch moves none."""
    return entry.state == "rolled-back" and "to" in entry.extra


def on_trial(entries: Iterable[Entry]) -> Entry | None:
    """The newest line of the release that is switched to and neither committed nor taken back."""
    for entry in reversed(newest(entries).values()):
        deciding = entry.state == "committed" or _took_back(entry)
        if entry.state in ON_TRIAL or (deciding and entry.phase == "begin"):
            return entry
    return None


def led(entries: Iterable[Entry]) -> str | None:
    """Where ``current`` leads, by the last line that moved it: an id, or empty for nothing; None
    where no line did. A switch that is begun counts for nothing yet."""
    found: str | None = None
    came_from: dict[str, str] = {}
    for entry in entries:
        if entry.state == "switched" and "from" in entry.extra:
            came_from[entry.release] = str(entry.extra["from"])
        if entry.phase != "done":
            continue
        if entry.state in ("switched", "committed"):
            found = entry.release
        elif _took_back(entry):
            found = str(entry.extra["to"])
        elif entry.state == "rolled-back" and entry.release in ("", found):
            found = came_from.get(entry.release, "")
    return found


def deployment(entries: Iterable[Entry]) -> Entry | None:
    """The newest line of what is on its way: the release on trial, else the last one begun."""
    lines = list(entries)
    waiting = pending(lines)
    return on_trial(lines) or (waiting[-1] if waiting else None)


def pending(entries: Iterable[Entry]) -> list[Entry]:
    """The newest line of each release that was begun and is not through; one that two others have
    overtaken is not waited for any more."""
    found: list[Entry] = []
    commits = 0
    for entry in reversed(newest(entries).values()):
        commits += (entry.state, entry.phase) == ("committed", "done")
        if not entry.final and commits < 2:
            found.insert(0, entry)
    return found


def switch_line(entries: Iterable[Entry], release: str) -> Entry | None:
    """The line that began the last switch to ``release``."""
    found = None
    for entry in entries:
        if entry.release == release and entry.state == "switched" and "from" in entry.extra:
            found = entry
    return found


def attempts(entries: Iterable[Entry], release: str) -> int:
    """How many watches began since the last switch to ``release``."""
    count = 0
    for entry in entries:
        if entry.release == release and entry.phase == "begin":
            if entry.state == "switched":
                count = 0
            count += entry.state == "watched"
    return count


def serial(entries: Iterable[Entry], release: str) -> int | None:
    """The serial number that was told when ``release`` was last verified."""
    return serials(entries).get(release)


def serials(entries: Iterable[Entry]) -> dict[str, int | None]:
    """That number of every release."""
    found: dict[str, int | None] = {}
    for entry in entries:
        if entry.serial is not None or (entry.state, entry.phase) == ("verified", "done"):
            found[entry.release] = entry.serial
    return found
