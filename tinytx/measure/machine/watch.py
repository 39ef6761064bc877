"""Looks at the machine before, between and after the workers: never while one is sampling."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tinytx.measure.machine import sensors
from tinytx.measure.machine.facts import Counters, Machine, observe, read_counters
from tinytx.measure.machine.neighbours import Busy, Ledger
from tinytx.measure.machine.sensors import Frequency


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A light look, right after one worker has ended."""

    after: str
    """What had just been measured."""
    counters: Counters
    throttled: int | None = None
    """Raspberry Pi firmware flags: bits 0 to 3 now, bits 16 to 19 since boot."""
    cooling: list[str] = []
    frequency: Frequency = Frequency()
    temperature_millicelsius: int | None = None
    """The hottest thermal zone."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine was and did while the bench ran."""

    before: Machine
    after: Machine
    during: list[Moment] = []
    discarded: list[tuple[Counters, Counters]] = []
    """The counters around each measurement that was thrown away and made again."""
    neighbours: list[Busy] = []
    """The programs that used the processors most, besides the bench."""

    def elapsed(self) -> Counters:
        """What the counters counted while measurements were made that count."""
        total = difference(self.before.counters, self.after.counters)
        for start, end in self.discarded:
            total = difference(difference(start, end), total)
        return total


def difference(start: Counters, end: Counters) -> Counters:
    """Counter by counter; what either does not know stays unknown."""
    values = {}
    for name in Counters.__struct_fields__:
        a, b = getattr(start, name), getattr(end, name)
        values[name] = None if a is None or b is None else b - a
    return msgspec.convert(values, Counters)


class Watch:
    """Looks at one machine from the start of a bench to its end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ledger = Ledger(root)
        self.before = observe(root)
        self.during: list[Moment] = []
        self._discarded: list[tuple[Counters, Counters]] = []

    def glance(self, after: str) -> None:
        """A light look: a dozen small files and one for each process."""
        self._ledger.look()
        self.during.append(
            Moment(
                after=after,
                counters=read_counters(self._root),
                throttled=sensors.throttled(self._root),
                cooling=sensors.cooling(self._root),
                frequency=sensors.frequency(self._root),
                temperature_millicelsius=max(
                    sensors.temperatures(self._root).values(), default=None
                ),
            )
        )

    def last(self) -> tuple[Counters, Counters]:
        """The counters around what was measured last."""
        moments: Sequence[Machine | Moment] = [self.before, *self.during]
        return moments[-2].counters, moments[-1].counters

    def discard(self) -> None:
        """What was measured last does not count."""
        self._discarded.append(self.last())

    def finish(self) -> Observation:
        after = observe(self._root)
        counted = difference(self.before.counters, after.counters)
        per_core = (counted.busy + counted.idle + counted.stolen) / max(after.cores, 1)
        self._ledger.look()
        return Observation(
            before=self.before,
            after=after,
            during=self.during,
            discarded=self._discarded,
            neighbours=self._ledger.busiest(per_core),
        )
