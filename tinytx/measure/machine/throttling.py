"""What a Raspberry Pi's flags say over many looks, and what they leave open.

Bits 0 to 3 are so now, bits 16 to 19 have been so since someone last asked the firmware to forget
them: a driver every 2 s, or nobody since boot. A bit of the second kind that is set at every look
can mean either.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinytx.measure.machine import sensors

NAMES = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the temperature limit"}
"""Bits of the flags (documentation of vcgencmd get_throttled); + 16: since someone asked."""
EVERY = 0xF
INTERVAL = 1.0
"""Seconds between two looks while measuring: half of what a driver waits before it forgets."""


@dataclass
class Tally:
    """Adds up looks; the first one is from before the measurement."""

    last: int | None = None
    now: int = 0
    """Bits 0 to 3 that were set at any look."""
    risen: int = 0
    """Of bits 16 to 19 (here 0 to 3), those that were set at a look and not at the one before."""
    steady: int = EVERY
    """Of the same, those that were set at every look."""

    def look(self, flags: int | None) -> None:
        """Count one look; None is a look that saw nothing."""
        if flags is None:
            return
        if self.last is not None:
            self.risen |= (flags & ~self.last) >> 16 & EVERY
        self.now |= flags & EVERY
        self.steady &= flags >> 16
        self.last = flags

    @property
    def seen(self) -> int | None:
        """What was so, as flags: bits 0 to 3, and + 16 what rose meanwhile."""
        return None if self.last is None else self.now | self.risen << 16


def tally(looks: Iterable[int | None], between: Iterable[int | None] = ()) -> Tally:
    """All looks added up, and what the :class:`Sampler` saw between them."""
    found = Tally()
    for flags in looks:
        found.look(flags)
    for flags in between:
        if flags is not None:
            found.now |= flags & EVERY
            found.risen |= flags >> 16 & EVERY
    return found


def missing(device: str, sources: list[str] | None) -> int:
    """The bits (0 to 3) of a Raspberry Pi that these sources do not tell of; none elsewhere.

    ``sources`` is None in a report of an earlier tinytx: then nothing is said about it.
    """
    if sources is None or sensors.FLAGS in sources:
        return 0
    if sensors.VOLTAGE in sources:
        return EVERY & ~1
    return EVERY if "Raspberry Pi" in device else 0


def names(bits: int) -> str:
    """Bits 0 to 3 in words."""
    return " and ".join(name for bit, name in NAMES.items() if bits >> bit & 1)


class Sampler:
    """Looks at the flags every second while workers run: one small file, read by a thread that
    else sleeps. Without flags there is no thread."""

    def __init__(self, root: Path, interval: float = INTERVAL) -> None:
        self._root, self._interval = root, interval
        self._lock, self._end = threading.Lock(), threading.Event()
        self._tally = Tally(last=sensors.throttled(root))
        self._thread: threading.Thread | None = None
        if self._tally.last is not None:
            self._thread = threading.Thread(target=self._run, name="flags", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            self.look()

    def look(self) -> None:
        """Look now."""
        flags = sensors.throttled(self._root)
        with self._lock:
            self._tally.look(flags)

    def take(self) -> int | None:
        """What was seen since this was last asked, as :attr:`Tally.seen`."""
        with self._lock:
            seen = self._tally.seen
            self._tally = Tally(last=self._tally.last)
        return seen

    def stop(self) -> None:
        """End the thread; may be called twice."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
