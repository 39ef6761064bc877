"""What control groups leave this process of the machine: memory and processor time.

A limit holds for a group and for everything below it, so the least one counts, from this process's
own group up to the root of the mount. Version 1 has a hierarchy per controller and tells in
``memory.stat`` what its ancestors allow (``hierarchical_memory_limit``), in a container too, where
they cannot be seen; version 2 has one hierarchy, and an ancestor that a name space hides stays
hidden (the kernel's admin-guide/cgroup-v1/memory, admin-guide/cgroup-v2, scheduler/sched-bwc).
Everything is read below one root directory, so that a recorded tree stands for a machine.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
NO_LIMIT = 1 << 62
"""Version 1 writes "no limit" as 2^63 less a page."""


class Chain(NamedTuple):
    """The groups of one controller, this process's own first, the root of the mount last."""

    version: int
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Memory:
    """What the groups say about memory, in bytes; None where they say nothing."""

    limit: int | None = None
    """The least of all limits that hold."""
    room: int | None = None
    """What may still be taken before one of them bites; files in the cache give way."""
    peak: int | None = None
    """The highest charge of this process's own group."""
    of: str = ""
    """The folder of the group whose limit is the least; empty where it cannot be seen."""


@dataclass(frozen=True)
class Quota:
    """How much processor time the groups grant; None where they grant all."""

    cores: float | None = None
    """The least quota, in cores: 0.5 is half of one."""
    stalled_us: int | None = None
    """For how long run queues were stopped because a quota was used up, in microseconds since the
    groups were made, added up over processors and groups."""


def memory(root: Path = ROOT) -> Memory:
    """Limit, room and peak of the groups that this process is in."""
    chain = find_chain("memory", root)
    if chain is None:
        return Memory()
    first = chain.version == 1
    name, used = ("limit_in_bytes", "usage_in_bytes") if first else ("max", "current")
    own, *above = chain.folders
    limits = {folder: _number(folder / f"memory.{name}") for folder in chain.folders}
    told = _keyed(own / "memory.stat", "hierarchical_memory_limit") if first else None
    if told is not None and told >= NO_LIMIT:  # before Linux 5.11 groups need not inherit
        limits |= dict.fromkeys(above, None)
    known = {folder: limit for folder, limit in limits.items() if limit is not None}
    rooms = [limit - _charged(folder, used) for folder, limit in known.items()]
    least = min(known, key=lambda folder: known[folder], default=None)
    limit = None if least is None else known[least]
    if told is not None and told < NO_LIMIT and (limit is None or told < limit):
        least, limit = None, told
        rooms.append(told - _charged(own, used))
    room = None if limit is None else max(min(rooms), 0)
    peak = _number(own / ("memory.max_usage_in_bytes" if first else "memory.peak"))
    return Memory(limit, room, peak, "" if least is None else str(least))


def available(root: Path = ROOT) -> int | None:
    """Bytes that may still be taken here: what the machine has (MemAvailable), or less where a
    control group leaves less; None where nothing tells it.
    """
    kilobytes = _keyed(root / "proc/meminfo", "MemAvailable:", " kB")
    known = [None if kilobytes is None else kilobytes * 1_024, memory(root).room]
    return min((found for found in known if found is not None), default=None)


def quota(root: Path = ROOT) -> Quota:
    """The least quota of processor time, and what it has cost so far."""
    chain = find_chain("cpu", root)
    if chain is None:
        return Quota()
    granted = {folder: _granted(chain.version, folder) for folder in chain.folders}
    held = [folder for folder, cores in granted.items() if cores is not None]
    if not held:
        return Quota()
    key, unit = ("throttled_time", 1_000) if chain.version == 1 else ("throttled_usec", 1)
    counted = [count for f in held if (count := _keyed(f / "cpu.stat", key)) is not None]
    cores = min(found for found in granted.values() if found is not None)
    return Quota(cores, sum(counted) // unit if counted else None)


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may run on at once: its affinity, and what its quota fills of it."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    granted = quota(root).cores
    return cores if granted is None else min(cores, max(1, math.ceil(granted)))


def quota_name(root: Path = ROOT) -> str:
    """The quota as a key for what was measured under it; empty where there is none."""
    granted = quota(root).cores
    return "" if granted is None else f"{granted:.2f}"


def kills(folder: Path) -> int | None:
    """How many processes of a group the kernel has killed for want of memory."""
    told = _keyed(folder / "memory.events", "oom_kill")
    return _keyed(folder / "memory.oom_control", "oom_kill") if told is None else told


def find_chain(controller: str, root: Path = ROOT) -> Chain | None:
    """The groups of ``controller`` that hold this process; None where it is in none."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        first = controller in controllers.split(",")
        if not first and (number != "0" or controllers):
            continue
        for base, inside in _mounts(controller if first else "", root):
            chain = Chain(1 if first else 2, _folders(base, inside, path))
            if any(_speaks(folder, controller) for folder in chain.folders):
                return chain
    return None


def _mounts(controller: str, root: Path) -> list[tuple[Path, str]]:
    """Where a hierarchy is mounted, and which of its groups is the root there (proc(5), mountinfo);
    an empty ``controller`` is version 2."""
    found = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        words, _, kind = line.partition(" - ")
        place, what = words.split(), kind.split()
        if len(place) < 5 or len(what) < 3:
            continue
        options = what[2].split(",")
        if what[0] == ("cgroup" if controller else "cgroup2") and (
            not controller or controller in options
        ):
            found.append((root / place[4].lstrip("/"), place[3]))
    usual = root / "sys/fs/cgroup"
    names = [controller, "cpu,cpuacct"] if controller else ["", "unified"]
    return found or [(usual / name, "/") for name in names]


def _folders(base: Path, inside: str, path: str) -> tuple[Path, ...]:
    """From the own group up to the root of the mount, which shows ``inside`` of the hierarchy.

    In a container the path may be the host's, or begin with ".." where the process stands outside
    of its name space: then the mount is all that can be seen.
    """
    below = path.removeprefix(inside.rstrip("/")) if path.startswith(inside) else path
    own = base / below.lstrip("/")
    if ".." in below.split("/") or not own.is_dir():
        return (base,)
    return (own, *(folder for folder in own.parents if folder.is_relative_to(base)))


def _speaks(folder: Path, controller: str) -> bool:
    """Whether a controller is at work in a group, in either version."""
    names = {
        "memory": ("memory.limit_in_bytes", "memory.max", "memory.max_usage_in_bytes"),
        "cpu": ("cpu.cfs_quota_us", "cpu.max"),
    }
    return any((folder / name).exists() for name in names[controller])


def _charged(folder: Path, used: str) -> int:
    """What a group has taken and would not give back by dropping files from the cache."""
    taken = _number(folder / f"memory.{used}") or 0
    stat = folder / "memory.stat"
    files = 0
    for key in ("inactive_file", "active_file"):
        whole = _keyed(stat, f"total_{key}")  # version 1: with the groups below
        files += (_keyed(stat, key) or 0) if whole is None else whole
    return max(taken - files, 0)


def _granted(version: int, folder: Path) -> float | None:
    """The quota of one group in cores."""
    if version == 1:
        words = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    else:
        words = _text(folder / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or words[1] == "0":
        return None  # "max", or -1
    return int(words[0]) / int(words[1])


def _number(path: Path) -> int | None:
    """A file with one number; None for "max", for no limit and for no file."""
    text = _text(path).strip()
    return int(text) if text.isdigit() and int(text) < NO_LIMIT else None


def _keyed(path: Path, key: str, unit: str = "") -> int | None:
    """The number behind ``key`` in a file of "key number" lines."""
    for line in _text(path).splitlines():
        words = line.removesuffix(unit).split()
        if len(words) == 2 and words[0] == key and words[1].isdigit():
            return int(words[1])
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
