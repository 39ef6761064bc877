"""How the threads of a step wait for each other: spinning, or asleep where cores are scarce.

OpenMP's threads meet after every loop, thousands of times a second, and one that comes early spins
for milliseconds. With a core for each that is fastest. Beside a busy program it spins away the time
of the very thread that it waits for: a training fell to a fiftieth. GNU's OpenMP sleeps almost at
once while it manages more threads than there are cores (its manual, GOMP_SPINCOUNT); its variables
are read when it is loaded, too early for a load that comes and goes. So idle threads of its own are
what tells it, and are dismissed when the cores are free again. Every thread's share of the work
stays what it was, and with it every bit. docs/decisions/0030 has the figures.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tinytx.train.others import MUCH, Others

LOOK_SECONDS = 1.0
FIRST_LOOK_SECONDS = 0.25
CHOSEN = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
"""Variables by which the user has decided how threads wait."""
SHARED_OUT = 1 << 18
"""Numbers enough for PyTorch to use all threads."""


@contextmanager
def one_thread() -> Iterator[None]:
    """For work so small that to share it out costs more than it saves, and beside a busy program
    thirty times as much."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class IdleTeams:
    """Threads that OpenMP counts and that do nothing."""

    def __init__(self, threads: int, cores: int) -> None:
        self._end = threading.Event()
        count = (cores - threads) // (threads - 1) + 1  # each adds all threads but one
        self._leaders = [threading.Thread(target=self._idle, daemon=True) for _ in range(count)]
        for leader in self._leaders:
            leader.start()

    def _idle(self) -> None:
        torch.ones(SHARED_OUT).add_(1.0)  # makes this thread the first of a team of its own
        self._end.wait()

    def dismiss(self) -> None:
        """Give OpenMP back what it had."""
        self._end.set()
        for leader in self._leaders:
            leader.join()


class Waiting:
    """Lets the threads of this process spin or sleep, as other programs leave them room."""

    def __init__(self, threads: int, cores: int, others: Others | None = None) -> None:
        self._threads, self._cores = threads, cores
        self._others = others or Others()
        self._teams: IdleTeams | None = None
        self._looked = time.perf_counter()
        self._used, self._seconds = 0.0, 0.0  # core-seconds of others, and of all looks
        self.told = False

    @property
    def asleep(self) -> bool:
        """Whether waiting threads sleep at the moment."""
        return self._teams is not None

    def settle(self) -> None:
        """Look for a moment, before the first step, and choose by that."""
        if self._threads == 1:
            return
        self._others.look()
        time.sleep(FIRST_LOOK_SECONDS)
        self._choose(self._crowded(self._others.look() or 0.0))

    def begin(self) -> None:
        """What came before, such as compilers of our own, does not count."""
        self._others.look()
        self._looked = time.perf_counter()

    def look(self) -> str:
        """Called after every step, looks once a second. Returns what the user should know the
        first time that there is not a core for every thread; else nothing."""
        now = time.perf_counter()
        seconds = now - self._looked
        if seconds < LOOK_SECONDS:
            return ""
        self._looked, used = now, self._others.look()
        if used is None:
            return ""
        self._used, self._seconds = self._used + used * seconds, self._seconds + seconds
        crowded = self._crowded(used)
        self._choose(crowded)
        if not crowded or self.told:
            return ""
        self.told = True
        return (
            f"other programs keep {used:.1f} of {self._cores} cores busy: steps take about "
            f"{self._cores / max(self._cores - used, 1.0):.1f} times as long while they do"
        )

    def mean(self) -> float | None:
        """Cores that others kept busy since the last call, on average; None if nobody looked."""
        used, seconds, self._used, self._seconds = self._used, self._seconds, 0.0, 0.0
        return used / seconds if seconds else None

    def close(self) -> None:
        """Leave OpenMP as it was."""
        self._choose(False)

    def _crowded(self, used: float) -> bool:
        return used > self._cores - self._threads + MUCH

    def _choose(self, sleep: bool) -> None:
        if self._threads == 1 or CHOSEN & os.environ.keys():
            return
        if sleep and self._teams is None:
            self._teams = IdleTeams(self._threads, self._cores)
        elif not sleep and self._teams is not None:
            self._teams.dismiss()
            self._teams = None
