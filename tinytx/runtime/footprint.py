"""Give back what only starting up needed: library code that ran once, and freed heap.

After a load the resident set holds mostly pages of shared libraries that ran once: static
initialisers, operator registration, the parser and checker of the graph. They are clean copies
of files; the kernel would take them back under pressure, but a process on an idle machine keeps
them for ever. ``madvise(MADV_DONTNEED)`` on such a mapping only forgets the translation
(madvise(2)): what runs again is found in the page cache by a minor fault, about 1 ms in all.
"""

import ctypes
import functools
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MADV_DONTNEED = 4  # of Linux, on every architecture that we run on
PRIVATE_READ_ONLY = {"r--p", "r-xp"}


@functools.cache
def give_back_once(moment: str) -> None:
    """:func:`give_back`, at most once in a process for each ``moment``: reading the mappings takes
    5 ms, and 25 where PyTorch is loaded."""
    give_back()


def give_back() -> None:
    """Shrink the resident set to what is in use; does nothing where the system has no way."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        with Path("/proc/self/smaps").open(encoding="utf-8", errors="replace") as lines:
            mappings = unchanged_file_mappings(lines)
        for start, size in mappings:
            libc.madvise(start, size, MADV_DONTNEED)  # locked pages are refused, and stay
        libc.malloc_trim(0)  # glibc only


def unchanged_file_mappings(smaps: Iterable[str]) -> list[tuple[int, int]]:
    """Start and size of each private, read-only mapping of a file that holds the file's bytes.

    A page that was written (relocations, made read-only afterwards) counts as ``Anonymous`` and
    would come back without what was written: a mapping with any such page is left alone. Every
    dynamically linked program has one. Where none is seen the counts are made up (qemu's user
    mode reports zeros, and a process without its relocations crashes): then there is no answer.
    """
    unchanged, written = [], 0
    place: tuple[int, int] | None = None
    resident = False
    for line in smaps:
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # "7f0-7f8 r-xp 00001000 fe:00 1234  /path": a new mapping
            place = _place(first, rest)
        elif place is not None and first == "Rss:":
            resident = rest[0] != "0"
        elif place is not None and first == "Anonymous:":
            if rest[0] != "0":
                written += 1
            elif resident:
                unchanged.append(place)
    return unchanged if written else []


def _place(addresses: str, rest: list[str]) -> tuple[int, int] | None:
    ours = len(rest) == 5 and rest[0] in PRIVATE_READ_ONLY and rest[4].startswith("/")
    if not ours or rest[4].startswith("/dev/"):
        return None
    start, end = (int(part, 16) for part in addresses.split("-"))
    return start, end - start
