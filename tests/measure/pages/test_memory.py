"""Drawings of memory: bars as long as their figures, parts as wide as their shares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from tinytx.measure.pages import memory
from tinytx.measure.report import Report

Page = Any  # of conftest
Read = Callable[[str], Page]


@dataclass
class Part:
    name: str
    bytes: int
    knob: str


@dataclass
class Attribution:
    total: int = 100_000_000
    trouble: str = ""
    parts: list[Part] = field(
        default_factory=lambda: [
            Part("weights", 25_000_000, "fewer layers"),
            Part("libraries <b>", 70_000_000, "none"),
            Part("cache", 4_000_000, "a shorter context"),
        ]
    )


class Explained:
    """A report with an attribution, as a newer bench makes it."""

    def __init__(self, report: Report, attribution: Attribution) -> None:
        self.report, self.attribution = report, attribution

    def __getattr__(self, name: str) -> Any:
        return getattr(self.report, name)


def widths(page: Page, kind: str) -> list[float]:
    return [float(a["width"].rstrip("%")) for a in page.of_class(kind) if "width" in a]


def test_bars_are_as_long_as_their_figures_and_the_limits_stand_at_theirs(
    report: Report, read: Read
) -> None:
    page = read(memory.by_phase(report) or "")
    worst = max(
        (a.memory for s in report.scenarios for a in s.answers if a.memory),
        key=lambda phases: phases.peak,
    )
    bars = widths(page, "peak")
    figures = [worst.interpreter, worst.load, worst.prompt, worst.decode]
    rest = widths(page, "heap")[0] + widths(page, "files")[0]
    lines = [float(a["x1"].rstrip("%")) for a in page.of_class("mark")]
    per_byte = bars[0] / figures[0]
    assert bars == pytest.approx([per_byte * figure for figure in figures], abs=0.02)
    assert rest == pytest.approx(per_byte * worst.at_rest.rss, abs=0.02)
    assert sorted(lines) == pytest.approx([per_byte * 400e6, per_byte * 512e6], abs=0.05)


def test_without_memory_processes_or_budgets_nothing_breaks(report: Report) -> None:
    assert memory.by_phase(replace(report, scenarios=[])) is None
    assert "Memory by phase" in (memory.by_phase(replace(report, budgets=[])) or "")


def test_the_parts_are_as_wide_as_their_shares_largest_first(report: Report, read: Read) -> None:
    page = read(memory.attribution(Explained(report, Attribution())) or "")  # type: ignore[arg-type]
    assert widths(page, "part") == pytest.approx([100 * 70 / 99, 100 * 25 / 99, 100 * 4 / 99], 1e-3)
    assert "libraries <b>" in page.text
    assert not page.all("b")
    assert "fewer layers" in page.text
    assert "the parts add up to it within 1.0%" in page.text
    assert "70.0%" in page.text


def test_a_remainder_below_zero_has_no_width_but_is_told(report: Report, read: Read) -> None:
    parts = [Part("weights", 101_000_000, ""), Part("not explained", -1_000_000, "")]
    page = read(memory.attribution(Explained(report, Attribution(parts=parts))) or "")  # type: ignore[arg-type]
    assert widths(page, "part") == [100.0]
    assert "-1 MB" in page.text


def test_a_report_that_was_not_asked_why_has_no_attribution(report: Report) -> None:
    assert memory.attribution(report) is None
    failed = Attribution()
    failed.trouble = "its worker hung"
    text = memory.attribution(Explained(report, failed))  # type: ignore[arg-type]
    assert "No attribution of memory: its worker hung" in (text or "")
    assert memory.attribution(Explained(report, Attribution(parts=[]))) is None  # type: ignore[arg-type]
