"""How long a process was ready to run but had to wait for a processor, as the kernel counts it.

``/proc/self/task/*/schedstat`` holds, per thread, the nanoseconds on a processor, the nanoseconds
of waiting for one, and the number of times (Linux documentation, scheduler/sched-stats).
"""

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Scheduled:
    """Nanoseconds of all threads of a process since they started."""

    running: int
    waiting: int


def scheduled(proc: Path = PROC) -> Scheduled | None:
    """What the kernel counted so far; None where it does not count."""
    running = waiting = 0
    found = False
    for path in (proc / "self/task").glob("*/schedstat"):
        try:
            words = path.read_text().split()
        except OSError:  # a thread that has just ended
            continue
        if len(words) >= 2:
            running, waiting, found = running + int(words[0]), waiting + int(words[1]), True
    return Scheduled(running, waiting) if found else None


def wait_share(before: Scheduled | None, after: Scheduled | None) -> float | None:
    """Of the time that a process wanted a processor, the share that it had to wait."""
    if before is None or after is None:
        return None
    running = max(after.running - before.running, 0)
    waiting = max(after.waiting - before.waiting, 0)
    return waiting / (running + waiting) if running + waiting else None
