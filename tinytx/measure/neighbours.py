"""Who else used the processors: programs by name, from /proc/PID/stat before and after."""

import re
from pathlib import Path

import msgspec

from tinytx.measure.sensors import text

Times = dict[tuple[int, int], "Process"]
"""By process number and start time, so that a number that is given again is another process."""


class Process(msgspec.Struct, frozen=True):
    """What /proc/PID/stat says (proc(5))."""

    name: str
    parent: int
    ticks: int
    """Processor time in clock ticks, user and kernel, without children."""


class Busy(msgspec.Struct, frozen=True):
    """A program that used the processors while the bench ran."""

    name: str
    cores: float
    """How many cores it kept busy on average."""


def process_times(root: Path) -> Times:
    """Every process that can be seen; in a container only the container's."""
    found: Times = {}
    for path in root.glob("proc/[0-9]*/stat"):
        line = text(path)
        name = line[line.find("(") + 1 : line.rfind(")")]
        fields = line[line.rfind(")") + 1 :].split()
        if len(fields) > 19:
            ticks = int(fields[11]) + int(fields[12])
            key = (int(path.parent.name), int(fields[19]))
            found[key] = Process(name, int(fields[1]), ticks)
    return found


def own_number(root: Path) -> int:
    """This process's number, as the tree has it."""
    match = re.match(r"\d+", text(root / "proc/self/stat"))
    return int(match.group()) if match else 0


def busiest(
    before: Times, after: Times, own: int, ticks_per_core: float, most: int = 5
) -> list[Busy]:
    """The programs other than process ``own`` and its children that used the most time.

    ``ticks_per_core`` is how many ticks one core had. What ended in between cannot be named.
    """
    if ticks_per_core <= 0:
        return []
    family = _family(after, own)
    used: dict[str, int] = {}
    for key, process in after.items():
        if key[0] not in family:
            earlier = before[key].ticks if key in before else 0
            used[process.name] = used.get(process.name, 0) + process.ticks - earlier
    ranked = sorted(used.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [Busy(name, ticks / ticks_per_core) for name, ticks in ranked if ticks > 0]


def _family(processes: Times, own: int) -> set[int]:
    """A process and everything that it has started and that still runs."""
    family = {own}
    children = {number: process.parent for (number, _), process in processes.items()}
    while new := {n for n, parent in children.items() if parent in family} - family:
        family |= new
    return family
