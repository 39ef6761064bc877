"""Looks at the machine before, between and after the workers: never while one is sampling.

Only the flags of a Raspberry Pi are looked at meanwhile, since they are soon forgotten
(:mod:`tinytx.measure.machine.throttling`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from tinytx.measure.machine import sensors
from tinytx.measure.machine.facts import Counters, Machine, observe, read_counters
from tinytx.measure.machine.neighbours import Busy, Ledger
from tinytx.measure.machine.sensors import Frequency
from tinytx.measure.machine.throttling import Sampler


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A light look, right after one worker has ended."""

    after: str
    """What had just been measured."""
    counters: Counters
    throttled: int | None = None
    """Raspberry Pi firmware flags: bits 0 to 3 now, bits 16 to 19 since someone last asked."""
    throttled_between: int | None = None
    """The flags that were seen since the look before: bits 0 to 3, and + 16 what rose."""
    cooling: list[str] = field(default_factory=list)
    frequency: Frequency = field(default_factory=Frequency)
    temperature_millicelsius: int | None = None
    """The hottest thermal zone."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the machine was and did while the bench ran."""

    before: Machine
    after: Machine
    during: list[Moment] = field(default_factory=list)
    discarded: list[tuple[Counters, Counters]] = field(default_factory=list)
    """The counters around each measurement that was thrown away and made again."""
    neighbours: list[Busy] = field(default_factory=list)
    """The programs that used the processors most, besides the bench."""

    @property
    def looks(self) -> "list[Machine | Moment]":
        """All of them, in their order."""
        return [self.before, *self.during, self.after]

    def elapsed(self) -> Counters:
        """What the counters counted while measurements were made that count."""
        total = difference(self.before.counters, self.after.counters)
        for start, end in self.discarded:
            total = difference(difference(start, end), total)
        return total


def difference(start: Counters, end: Counters) -> Counters:
    """Counter by counter; what either does not know stays unknown."""
    values: dict[str, Any] = {}
    for one in fields(Counters):
        a, b = getattr(start, one.name), getattr(end, one.name)
        values[one.name] = None if a is None or b is None else b - a
    return Counters(**values)


class Watch:
    """Looks at one machine from the start of a bench to its end. To be used in a ``with``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ledger = Ledger(root)
        self.before = observe(root)
        self._sampler = Sampler(root)
        self.during: list[Moment] = []
        self._discarded: list[tuple[Counters, Counters]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._sampler.stop()

    def glance(self, after: str) -> None:
        """A light look: a dozen small files and one for each process."""
        self._ledger.look()
        self._sampler.look()
        self.during.append(
            Moment(
                after=after,
                counters=read_counters(self._root),
                throttled=sensors.throttled(self._root),
                throttled_between=self._sampler.take(),
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
        self._sampler.stop()
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
