"""A control group of its own for one process: made, limited, read and removed.

Version 1 has a hierarchy per controller (the kernel's admin-guide/cgroup-v1/memory), version 2 one
for all (admin-guide/cgroup-v2). Everything is found below one root directory, so that a recorded
tree stands for a machine.
"""

import errno
import itertools
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

PREFIX = "tinytx"
PATIENCE = 3.0
"""Seconds for which a removal waits until the kernel has let go of the dead processes."""
ENTER = 'echo $$ > "$0" && exec "$@"'
"""A shell that moves itself into the group and becomes the command: nothing is charged before."""


class Names(NamedTuple):
    """What the files of one version are called."""

    limit: str
    swap: str
    peak: str
    kills: str


FILES = {
    1: Names(
        limit="memory.limit_in_bytes",
        swap="memory.memsw.limit_in_bytes",
        peak="memory.max_usage_in_bytes",
        kills="memory.oom_control",
    ),
    2: Names(
        limit="memory.max",
        swap="memory.swap.max",
        peak="memory.peak",
        kills="memory.events",
    ),
}


@dataclass(frozen=True)
class GroupUse:
    """What a group saw of its process."""

    peak: int | None
    """Highest charge in bytes: anonymous memory, the files that it was the first to read, and the
    kernel's own. None where the kernel keeps no peak (version 2 before Linux 5.19)."""
    limit: int | None
    hits: int
    """Times that a charge failed at the limit, so that pages had to be given back. Version 1 of
    recent kernels does not count them."""
    kills: int
    """Processes of the group that the kernel killed for lack of memory."""

    @property
    def at_limit(self) -> bool:
        """Whether the limit was reached: then the peak is the limit's, not the process's."""
        if self.limit is None:
            return False
        return self.hits > 0 or (self.peak or 0) >= self.limit


class Place(NamedTuple):
    """A folder of a hierarchy in which groups can be made."""

    version: int
    folder: Path

    @property
    def mechanism(self) -> str:
        return f"control group, version {self.version}"


class Group:
    """One group, made for one process."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._names, self._version, self.folder = FILES[place.version], place.version, folder
        self.limit: int | None = None

    @property
    def limits_swap(self) -> bool:
        """Whether swap counts here, so that a limit cannot be dodged by it."""
        return (self.folder / self._names.swap).exists()

    def set_limit(self, limit: int) -> None:
        """Memory at most ``limit`` bytes, swap none. Raises ``OSError``."""
        if self._version == 1:
            self._write(self._names.limit, limit)
            self._write_if_there("memory.swappiness", 0)
            self._write_if_there(self._names.swap, limit)  # of memory and swap together
        else:
            self._write_if_there(self._names.swap, 0)
            self._write_if_there("memory.oom.group", 1)
            self._write(self._names.limit, limit)
        if _number(self.folder / self._names.limit) != limit:
            raise OSError(errno.EINVAL, "the kernel did not take the limit", str(self.folder))
        self.limit = limit

    def entering(self, command: Sequence[str]) -> tuple[str, ...]:
        """A command that runs ``command`` inside this group."""
        return ("/bin/sh", "-c", ENTER, str(self.folder / "cgroup.procs"), *command)

    def use(self) -> GroupUse:
        """What the group saw so far; readable after its process has ended."""
        if self._version == 1:
            counts = [_number(self.folder / f"memory.{kind}failcnt") for kind in ("", "memsw.")]
            hits = sum(count or 0 for count in counts)
        else:
            hits = _keyed(self.folder / "memory.events", "max")
        kills = _keyed(self.folder / self._names.kills, "oom_kill")
        return GroupUse(_number(self.folder / self._names.peak), self.limit, hits, kills)

    def remove(self) -> None:
        """End what still runs in it, then remove it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._kill()
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError as error:
                if not self.folder.exists():  # never made: a file system that is read-only
                    return
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    log.warning("cannot remove the control group %s: %s", self.folder, error)
                    return
                time.sleep(0.005)
            else:
                return

    def _kill(self) -> None:
        with suppress(OSError):
            for word in (self.folder / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    os.kill(int(word), signal.SIGKILL)

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))

    def _write_if_there(self, name: str, value: int) -> None:
        if (self.folder / name).exists():
            self._write(name, value)


_numbers = itertools.count(1)


@contextmanager
def temporary_group(place: Place, limit: int | None = None) -> Iterator[Group]:
    """A new group, gone with everything in it afterwards. Raises ``OSError`` when there is none.

    ``limit`` is in bytes, a multiple of the page size.
    """
    group = Group(place, place.folder / f"{PREFIX}-{os.getpid()}-{next(_numbers)}")
    try:
        group.folder.mkdir()
        if limit is not None:
            group.set_limit(limit)
        yield group
    finally:
        group.remove()


def remove_leftovers(place: Place) -> None:
    """Remove the empty groups of benches that were killed outright."""
    for folder in place.folder.glob(f"{PREFIX}-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                folder.rmdir()


def up_to_a_page(size: float) -> int:
    """The smallest multiple of the page size that is at least ``size``: limits come in pages."""
    page = os.sysconf("SC_PAGE_SIZE")
    return -(-int(-(-size // 1)) // page) * page


def _number(path: Path) -> int | None:
    """A file with one number; None for "max" and for no file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _keyed(path: Path, key: str) -> int:
    """The number behind ``key`` in a file of "key number" lines; 0 when it is not there."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.split()[:1] == [key]]
    return int(found[0]) if found and found[0].isdigit() else 0
