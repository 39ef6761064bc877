"""Is a memory limit real here? Shown by a canary that has to die of it.

A limit that was set proves nothing: without swap accounting, or without the memory controller, it
is taken and ignored. So a canary process allocates past the limit in a group of its own, and only
its death, counted by the kernel, makes the limit one that bites.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tinytx.measure.limits.groups import (
    Group,
    Place,
    remove_leftovers,
    temporary_group,
    up_to_a_page,
)
from tinytx.measure.limits.hierarchy import Obstacle, find_place

BEYOND = 1.125
"""How much the canary wants, as a multiple of the limit."""
RESERVE = 64_000_000
"""Bytes that must stay available if the limit does not bite and the canary gets all it wants."""
CANARY_SECONDS = 60.0
CANARY = """
import mmap, sys
with open("/proc/self/oom_score_adj", "w") as file: file.write("1000")
size, step = int(sys.argv[1]), 1 << 22
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for start in range(0, size, step):
    for page in range(start, min(start + step, size), mmap.PAGESIZE):
        memory[page] = 1
    print(page, flush=True)
"""
"""Touches every page, tells how far it got, and asks to be the first to go if all memory ends."""
COMMAND = (sys.executable, "-I", "-S", "-c", CANARY)


class LimitProof(msgspec.Struct, frozen=True):
    """Whether a memory limit was in force while memory was measured, and what shows it."""

    enforced: bool
    limit: int
    """In bytes."""
    mechanism: str
    """What limits: "control group, version 2"; empty where nothing does."""
    reason: str
    """Why it is not enforced; empty when it is."""
    canary: str
    """What became of the process that had to die."""
    remedy: str = ""


@dataclass(frozen=True)
class Guard:
    """Where the processes of a bench are measured: each in a group of its own, if possible."""

    place: Place | None = None
    limit: int | None = None
    """In bytes, and only if it is proven to bite."""
    proof: LimitProof | None = None
    """None when there was no limit to prove."""

    def group(self) -> AbstractContextManager[Group | None]:
        """A new group with the limit, without one where none bites, None where none can be made."""
        return temporary_group(self.place, self.limit) if self.place else nullcontext()


@contextmanager
def guard(
    limit: float | None, root: Path = Path("/"), command: tuple[str, ...] = COMMAND
) -> Iterator[Guard]:
    """Find out whether ``limit`` bytes can be enforced; ``command`` is the canary's."""
    size = None if limit is None else up_to_a_page(limit)
    with find_place(root) as place:
        if isinstance(place, Obstacle):
            proof = size and LimitProof(False, size, "", place.reason, "", place.remedy)
            yield Guard(proof=proof or None)
            return
        remove_leftovers(place)
        if size is None:
            yield Guard(place)
            return
        proof = prove(place, size, root, command)
        yield Guard(place, size if proof.enforced else None, proof)


def prove(
    place: Place, limit: int, root: Path = Path("/"), command: tuple[str, ...] = COMMAND
) -> LimitProof:
    """Let a canary allocate past ``limit`` (bytes, a multiple of the page size) in a new group."""
    wanted = int(limit * BEYOND)
    if available(root) < wanted + RESERVE:
        reason = f"the canary needs {_mb(wanted + RESERVE)} of free memory, in case it survives"
        return LimitProof(False, limit, "", reason, "not run", "close other programs")
    try:
        with temporary_group(place, limit) as group:
            status, touched = _run(group.entering((*command, str(wanted))))
            use, swap = group.use(), group.limits_swap
    except OSError as error:
        reason = f"no group with a limit in {place.folder}: {error.strerror}"
        return LimitProof(False, limit, "", reason, "not run")
    fate = f"touched {_mb(touched)} of {_mb(wanted)}"
    if status == -signal.SIGKILL and use.kills and use.at_limit and touched < limit:
        return LimitProof(True, limit, place.mechanism, "", f"killed by the kernel: {fate}")
    if status == 0:
        reason = f"the limit of {_mb(limit)} was set and ignored: a process took more and lived"
        return LimitProof(False, limit, "", reason, f"survived: {fate}", _remedy(swap))
    reason = f"the canary ended with {status}, and not as one that the limit killed"
    return LimitProof(False, limit, "", reason, f"ended with {status}: {fate}")


def _run(command: tuple[str, ...]) -> tuple[int, int]:
    """Exit status of the canary, and how many bytes it had touched."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=CANARY_SECONDS)
    except subprocess.TimeoutExpired:
        output = b""
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    words = output.split()
    return process.returncode, int(words[-1]) if words and words[-1].isdigit() else 0


def _remedy(swap_counts: bool) -> str:
    """What helps where a limit was ignored."""
    if swap_counts:
        return "measure outside of a sandbox that only imitates control groups"
    return "swap takes what the limit refuses: sudo swapoff -a, or boot with swapaccount=1"


def available(root: Path = Path("/")) -> int:
    """MemAvailable in bytes."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1_024 if found else 0


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
