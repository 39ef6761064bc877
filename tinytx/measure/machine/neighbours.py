"""Who else used the processors: programs by name, from one look at /proc/PID/stat to the next."""

import re
from dataclasses import dataclass
from pathlib import Path

from tinytx.measure.machine.sensors import text

Times = dict[tuple[int, int], "Process"]
"""By process number and start time, so that a number that is given again is another process."""


@dataclass(frozen=True)
class Process:
    """What /proc/PID/stat says (proc(5))."""

    name: str
    parent: int
    ticks: int
    """Processor time in clock ticks, user and kernel."""
    ended: int = 0
    """The same of the children that have ended, and of theirs."""


@dataclass(frozen=True)
class Busy:
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
            user, system, ended_user, ended_system = (int(word) for word in fields[11:15])
            process = Process(name, int(fields[1]), user + system, ended_user + ended_system)
            found[int(path.parent.name), int(fields[19])] = process
    return found


class Ledger:
    """Adds up what programs use from one look to the next, besides this process and its children.

    What started and ended between two looks is told under the name of its parent.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last = process_times(root)
        self._used: dict[str, int] = {}

    def look(self) -> None:
        now = process_times(self._root)
        for name, ticks in used_between(self._last, now, own_number(self._root)).items():
            self._used[name] = self._used.get(name, 0) + ticks
        self._last = now

    def busiest(self, ticks_per_core: float, most: int = 5) -> list[Busy]:
        """The programs that used the most; ``ticks_per_core`` is how many ticks one core had."""
        ranked = sorted(self._used.items(), key=lambda item: (-item[1], item[0]))[:most]
        return [Busy(name, ticks / max(ticks_per_core, 1.0)) for name, ticks in ranked if ticks > 0]


def used_between(before: Times, after: Times, own: int) -> dict[str, int]:
    """Clock ticks by name. A parent is charged with its children that ended, as far as they had
    not been charged when they were last seen. Process 1 is not: it inherits orphans, whose time
    was another program's.
    """
    family = _family(after, own)
    charged = _charged(before, after)
    used: dict[str, int] = {}
    for key, process in after.items():
        if key[0] not in family:
            earlier = before.get(key, Process("", 0, 0))
            ended = process.ended - earlier.ended - charged.get(key[0], 0)
            ticks = process.ticks - earlier.ticks + (max(ended, 0) if key[0] != 1 else 0)
            used[process.name] = used.get(process.name, 0) + ticks
    return used


def _charged(before: Times, after: Times) -> dict[int, int]:
    """What processes that have ended had used when last seen, by the nearest ancestor that lives:
    it is part of what that one's ended children add up to.
    """
    parents = {number: process.parent for (number, _), process in before.items()}
    gone = {key[0] for key in before.keys() - after.keys()}
    charged: dict[int, int] = {}
    for key in before.keys() - after.keys():
        ancestor = parents[key[0]]
        for _ in gone:  # at most so many steps, whatever a look in motion has caught
            if ancestor not in gone:
                break
            ancestor = parents[ancestor]
        paid = before[key].ticks + before[key].ended
        charged[ancestor] = charged.get(ancestor, 0) + paid
    return charged


def own_number(root: Path) -> int:
    """This process's number, as the tree has it."""
    match = re.match(r"\d+", text(root / "proc/self/stat"))
    return int(match.group()) if match else 0


def _family(processes: Times, own: int) -> set[int]:
    """A process and everything that it has started and that still runs."""
    family = {own}
    children = {number: process.parent for (number, _), process in processes.items()}
    while new := {n for n, parent in children.items() if parent in family} - family:
        family |= new
    return family
