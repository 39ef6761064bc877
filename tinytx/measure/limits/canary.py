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

from tinytx import cgroup
from tinytx.measure.limits.groups import (
    Group,
    Place,
    remove_leftovers,
    temporary_group,
    up_to_a_page,
)
from tinytx.measure.limits.hierarchy import find_place
from tinytx.measure.limits.parameters import Obstacle

BEYOND = 1.125
"""How much the canary wants, as a multiple of the limit."""
RESERVE = 64_000_000
"""Bytes that must stay available if the limit does not bite and the canary gets all it wants."""
CANARY_SECONDS = 60.0
TOO_LATE = -1_000
"""No signal and no exit code: the canary had to be ended."""
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


@dataclass(frozen=True)
class LimitProof:
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
    holds: int | None = None
    """A limit in bytes that someone else has set on the groups that the bench itself is in."""

    @property
    def doubt(self) -> str:
        """Why the limit is not proven, and what holds nevertheless; empty when it is."""
        if self.enforced or self.holds is None:
            return self.reason
        return (
            f"{self.reason}; but a limit of {_mb(self.holds)}, set from outside, holds the bench "
            "and the model together (no canary has tried it)"
        )


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
            proof = size and LimitProof(
                False, size, "", place.reason, "", place.remedy, cgroup.memory(root).limit
            )
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
    if refused := no_room(wanted, limit, root):
        return refused
    killed_before = _kills(root)
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
    fate = f"ended with {status}: {fate}"
    if status == TOO_LATE:
        reason = f"the canary did not end within {CANARY_SECONDS:.0f} s and was ended"
        return LimitProof(False, limit, "", reason, fate, "measure on a machine that is less busy")
    if status != -signal.SIGKILL:
        reason = f"the canary ended with {status}, and not as one that the limit killed"
        return LimitProof(False, limit, "", reason, fate)
    by_kernel = use.kills > 0 or _kills(root) > killed_before
    reason, remedy = _who_killed(by_kernel, touched, limit, wanted, cgroup.memory(root))
    return LimitProof(False, limit, "", reason, fate, remedy)


def no_room(wanted: int, limit: int, root: Path = Path("/")) -> LimitProof | None:
    """The answer where a canary that survives would take the last memory; else None."""
    needed = wanted + RESERVE
    above = cgroup.memory(root)
    if above.room is not None and above.room < needed:
        reason = (
            f"the canary needs {_mb(needed)} in case it survives, and the limit of {_group(above)} "
            f"leaves {_mb(above.room)}"
        )
        remedy = "give that group more memory, or measure outside of it"
        return LimitProof(False, limit, "", reason, "not run", remedy, above.limit)
    if available(root) < needed:
        reason = f"the canary needs {_mb(needed)} of free memory, in case it survives"
        return LimitProof(False, limit, "", reason, "not run", "close other programs")
    return None


def _who_killed(
    by_kernel: bool, touched: int, limit: int, wanted: int, above: cgroup.Memory
) -> tuple[str, str]:
    """Why signal 9 came although the limit had not been reached, and what to do about it."""
    if not by_kernel:
        return (
            "the canary was killed (signal 9), and not by the kernel for want of memory: by a "
            "program such as earlyoom or systemd-oomd, or by a person",
            "stop what kills here while measuring",
        )
    if touched >= limit:
        return (
            f"the kernel killed the canary only after it had more ({_mb(touched)}) than the limit: "
            "the machine's memory was at its end, the limit does not bite",
            "close other programs",
        )
    if above.limit is not None and above.limit < wanted:
        return (
            f"the kernel killed the canary at another limit: that of {_group(above)}",
            "give that group more memory, or measure outside of it",
        )
    return (
        "the kernel killed the canary before it came to its limit: a group above that cannot be "
        "seen from here has a lower one, or the machine's memory was at its end",
        "close other programs; in a container give it more memory",
    )


def _group(above: cgroup.Memory) -> str:
    where = f"the group {above.of}" if above.of else "a group above"
    return where if above.limit is None else f"{where} ({_mb(above.limit)})"


def _kills(root: Path) -> int:
    """Processes that the kernel has killed for want of memory since boot (Linux 4.13 and later)."""
    try:
        lines = (root / "proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(found[0]) if found else 0


def _run(command: tuple[str, ...]) -> tuple[int, int]:
    """Exit status of the canary (TOO_LATE if it had to be ended), and the bytes it had touched."""
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
        return TOO_LATE, 0
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
