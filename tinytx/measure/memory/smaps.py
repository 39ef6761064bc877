"""Every mapping of a process, and what the C library's allocator holds: standard library only.

A process that takes stock of itself imports this before anything else, so that what the other
libraries cost can be seen.
"""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
HEADER = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$")
FIELD = re.compile(r"^(Rss|Anonymous): +(\d+) kB$")


class Mapping(NamedTuple):
    """One line of /proc/PID/maps with its share of the resident set, in bytes."""

    start: int
    end: int
    readable: bool
    path: str
    """A file, "[heap]", "[stack]" or "" for anonymous memory."""
    rss: int
    anonymous: int
    """Of that: pages of no file, or of one but written to."""


class Heap(NamedTuple):
    """What malloc holds in all its arenas, in bytes (mallinfo(3))."""

    live: int
    """In use by the program."""
    free: int
    """Freed, but not given back to the kernel."""


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of the GNU C library, 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Inventory(NamedTuple):
    """The resident set of a process at one instant, in bytes."""

    rss: int
    anonymous: int
    files: dict[str, int]
    """Pages of each mapped file that were not written to."""


def mappings(proc: Path = PROC, process: str = "self") -> Iterator[Mapping]:
    """All mappings, in order of their addresses. Raises ``OSError``."""
    current: Mapping | None = None
    with (proc / process / "smaps").open(errors="replace") as lines:
        for line in lines:
            if header := HEADER.match(line):
                if current is not None:
                    yield current
                start, end = int(header[1], 16), int(header[2], 16)
                current = Mapping(start, end, header[3].startswith("r"), header[4], 0, 0)
            elif current is not None and (field := FIELD.match(line)):
                size, rss = int(field[2]) * 1_024, field[1] == "Rss"
                current = current._replace(rss=size) if rss else current._replace(anonymous=size)
    if current is not None:
        yield current


def inventory(proc: Path = PROC, process: str = "self") -> Inventory:
    """The sums of all mappings, with little memory of its own. Raises ``OSError``."""
    rss = anonymous = 0
    files: dict[str, int] = {}
    for mapping in mappings(proc, process):
        rss += mapping.rss
        anonymous += mapping.anonymous
        if mapping.path.startswith("/") and mapping.rss > mapping.anonymous:
            path = sys.intern(mapping.path)
            files[path] = files.get(path, 0) + mapping.rss - mapping.anonymous
    return Inventory(rss, anonymous, files)


def heap() -> Heap | None:
    """The allocator's account of this process; None where the C library keeps none."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    mallinfo2.restype = _Mallinfo2
    information = mallinfo2()
    return Heap(information.uordblks + information.hblkhd, information.fordblks)


def trim() -> None:
    """Give freed memory back to the kernel, where the C library can (malloc_trim(3))."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
