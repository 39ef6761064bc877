"""Memory as the kernel counts it: resident set from smaps_rollup, peak from VmHWM.

``smaps_rollup`` walks the page tables and is exact. ``VmHWM`` is the kernel's high-water mark of
the resident set; writing 5 to ``clear_refs`` sets it back to the present value (proc(5)), so that
each phase has its own. ``ru_maxrss`` is never used: a child inherits its parent's.
"""

import re
from pathlib import Path

import msgspec

from tinytx.errors import PrerequisiteError

PROC = Path("/proc")


class Resident(msgspec.Struct, frozen=True):
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


def group_peak(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """Limit and peak of this process's control group in bytes, where they can be read.

    Version 2 has memory.max and memory.peak, version 1 memory.limit_in_bytes and
    memory.max_usage_in_bytes. They count every process of the group and its page cache: a second
    opinion, never the figure.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None, None
    base = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if controllers == "":
            folders = [base / inside, base, base / "unified" / inside]
            names = ("memory.max", "memory.peak")
        elif "memory" in controllers.split(","):
            folders = [base / "memory" / inside, base / "memory"]
            names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        else:
            continue
        for folder in folders:
            limit, peak = (_number(folder / name) for name in names)
            if peak is not None:
                return limit, peak
    return None, None


def _number(path: Path) -> int | None:
    """A file with one number; None for "max", for no limit (2^63 or so) and for no file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < 1 << 62 else None


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
