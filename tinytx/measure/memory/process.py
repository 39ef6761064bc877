"""Memory as the kernel counts it: resident set from smaps_rollup, peak from VmHWM.

``smaps_rollup`` walks the page tables and is exact. ``VmHWM`` is the kernel's high-water mark of
the resident set; writing 5 to ``clear_refs`` sets it back to the present value (proc(5)), so that
each phase has its own. ``ru_maxrss`` is never used: a child inherits its parent's.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tinytx.errors import PrerequisiteError

PROC = Path("/proc")


@dataclass(frozen=True)
class Resident:
    """What a process holds at one instant, in bytes."""

    rss: int
    anonymous: int
    """Of that: heap, stacks and caches; the rest is files (libraries)."""
    proportional: int
    """RSS with every shared page divided by the number of processes that share it."""
    swap: int


def resident(proc: Path = PROC, process: str = "self") -> Resident:
    """The resident set of a process. Raises :class:`PrerequisiteError`."""
    path = proc / process / "smaps_rollup"
    fields = _kilobytes(_read(path))
    try:
        return Resident(fields["Rss"], fields["Anonymous"], fields["Pss"], fields["Swap"])
    except KeyError as error:
        raise PrerequisiteError(f"{path} lacks the field {error}") from error


def high_water(proc: Path = PROC, process: str = "self") -> int:
    """The peak of the resident set since the start or the last reset, in bytes."""
    path = proc / process / "status"
    fields = _kilobytes(_read(path))
    if "VmHWM" not in fields:
        raise PrerequisiteError(f"{path} lacks VmHWM: this kernel keeps no high-water mark")
    return fields["VmHWM"]


def high_water_or_none(proc: Path = PROC, process: str = "self") -> int | None:
    """The same; None where this kernel keeps no high-water mark."""
    try:
        return high_water(proc, process)
    except PrerequisiteError:
        return None


def reset_high_water(proc: Path = PROC, process: str = "self") -> bool:
    """Start a new high-water mark; False where the kernel does not allow it."""
    try:
        (proc / process / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _kilobytes(text: str) -> dict[str, int]:
    """The "Name:  123 kB" lines, in bytes (the kernel's kB is 1,024 bytes)."""
    pairs = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: int(number) * 1_024 for name, number in pairs}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PrerequisiteError(
            f"memory cannot be measured: {path}: {error.strerror}",
            "tinytx measures memory on Linux (4.14 or later) with /proc mounted",
        ) from error
