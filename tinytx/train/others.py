"""What other programs use of the cores that this process may run on."""

import os
import time
from contextlib import suppress
from pathlib import Path

PROC_STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of a line "cpuN" (proc(5))
MUCH = 0.4
"""Cores in use elsewhere from which a measurement, or a team of threads, is disturbed."""

SHORTEST = 0.1
"""Seconds for which the kernel's ticks, a hundredth each, are fine enough."""


class Others:
    """Adds up, from one look to the next, what is not this process's own."""

    def __init__(self, file: Path = PROC_STAT) -> None:
        self._file = file
        self._last = self._read()

    def look(self) -> float | None:
        """Cores kept busy since the last look, on average; None where the kernel does not tell,
        or too little time has passed for its clock."""
        before, self._last = self._last, self._read()
        if before is None or self._last is None:
            return None
        wall, busy, own = (new - old for new, old in zip(self._last, before, strict=True))
        return max(0.0, busy - own) / wall if wall >= SHORTEST else None

    def _read(self) -> tuple[float, float, float] | None:
        """Seconds: now, all work on these cores so far, this process's so far."""
        if not hasattr(os, "sched_getaffinity"):
            return None
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks, found = 0, 0
        with suppress(OSError, ValueError, IndexError), self._file.open(encoding="ascii") as lines:
            for line in lines:
                name, *words = line.split()
                if name in names:
                    ticks += sum(int(words[column]) for column in BUSY)
                    found += 1
        if found < len(names):
            return None
        return time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
