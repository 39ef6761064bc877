"""What the pages draw, taken out of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytx.measure import stats
from tinytx.measure.budgets import Quantity, Row
from tinytx.measure.protocol import Phases
from tinytx.measure.report import Report, Scenario

MS = 1e6
"""Nanoseconds of a millisecond."""
MB = 1e6


@dataclass(frozen=True)
class Cell:
    """One process of one scenario that took samples; figures in milliseconds."""

    scenario: Scenario
    process: int
    """1, 2, ... in the order in which they ran."""
    samples: Sequence[int]
    """Nanoseconds."""

    @property
    def median(self) -> float:
        return stats.quantile_of(self.samples, 0.5) / MS

    @property
    def p95(self) -> float:
        return stats.quantile_of(self.samples) / MS

    @property
    def slowest(self) -> float:
        return max(self.samples) / MS


def cells(report: Report, kind: str = "next_token") -> list[Cell]:
    """Every process of a kind of scenario that has samples."""
    return [
        Cell(scenario, number, run.answer.samples_ns)
        for scenario in report.scenarios
        if scenario.kind == kind
        for number, run in enumerate(scenario.processes, 1)
        if run.answer is not None and run.answer.samples_ns
    ]


def judged(report: Report) -> Cell | None:
    """The process with the highest p95 of the next token: the one that the budget judges."""
    return max(cells(report), key=lambda cell: stats.quantile_of(cell.samples), default=None)


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


def histogram(samples: Sequence[int], edges: Sequence[float]) -> list[int]:
    """How many samples (ns) lie between two ``edges`` (ms) each; nothing is left out.

    What lies beyond the first or last edge counts to the bin there.
    """
    bounds = np.asarray(edges) * MS
    inner = np.searchsorted(bounds[1:-1], np.asarray(samples, np.float64), side="right")
    return [int(count) for count in np.bincount(inner, minlength=len(edges) - 1)]
