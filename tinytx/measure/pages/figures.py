"""What the pages draw, taken out of a report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinytx.measure import stats
from tinytx.measure.policy.budgets import Quantity, Row
from tinytx.measure.record.protocol import Phases
from tinytx.measure.record.report import Report, Scenario

MS = 1e6
"""Nanoseconds of a millisecond."""
MB = 1e6


@dataclass(frozen=True)
class Cell:
    """One process of one scenario that took samples; figures in milliseconds."""

    scenario: Scenario
    process: int
    """1, 2, ... in the order in which they ran."""
    ordered: NDArray[np.int64]
    """The samples in nanoseconds, the fastest first: sorted once, as there may be a million."""

    @property
    def count(self) -> int:
        return len(self.ordered)

    @property
    def median(self) -> float:
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        return self._quantile(stats.QUANTILE)

    @property
    def slowest(self) -> float:
        return float(self.ordered[-1]) / MS

    @property
    def fastest(self) -> float:
        return float(self.ordered[0]) / MS

    def _quantile(self, share: float) -> float:
        """As :func:`stats.quantile_of`, on samples that are sorted already."""
        rank = max(math.ceil(self.count * share - 1e-9), 1)
        return float(self.ordered[rank - 1]) / MS


def cells(report: Report, *kinds: str) -> list[Cell]:
    """Every process with samples of these kinds of scenario."""
    return [
        Cell(scenario, number, np.sort(np.asarray(run.answer.samples_ns, np.int64)))
        for scenario in report.scenarios
        if scenario.kind in kinds
        for number, run in enumerate(scenario.processes, 1)
        if run.answer is not None and run.answer.samples_ns
    ]


def judged(found: list[Cell]) -> Cell | None:
    """The process with the highest p95 of the next token: the one that the budget judges."""
    steps = [cell for cell in found if cell.scenario.kind == "next_token"]
    return max(steps, key=lambda cell: cell.p95, default=None)


def row_of(report: Report, name: str) -> Row | None:
    """The verdict on the budget called ``name``."""
    return next((row for row in report.budgets if row.budget.name == name), None)


def limit_in(report: Report, name: str, unit: float) -> float | None:
    """The limit of a budget, in ``unit`` bytes or nanoseconds."""
    row = row_of(report, name)
    return None if row is None else row.budget.limit.base / unit


def phases(report: Report) -> list[Phases]:
    """Memory through its life, one per memory process."""
    answers = [a for s in report.scenarios if s.kind == "memory" for a in s.answers]
    return [answer.memory for answer in answers if answer.memory is not None]


def told(amount: float, unit: str) -> str:
    """A figure and its unit, three significant digits."""
    return str(Quantity(float(amount), unit))


def histogram(cell: Cell, edges: Sequence[float]) -> list[int]:
    """How many samples lie between two ``edges`` (ms) each; nothing is left out.

    What lies beyond the first or last edge counts to the bin there.
    """
    inner = np.asarray(edges[1:-1]) * MS
    below = np.searchsorted(cell.ordered, inner, side="left")
    return [int(n) for n in np.diff(below, prepend=0, append=cell.count)]
