"""Drawings of memory: bars as long as their figures, parts as wide as their shares."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tinytx.measure.memory.attribution import Attribution, Part
from tinytx.measure.pages import html, memory
from tinytx.measure.record.report import Report

Page = Any  # of conftest
Read = Callable[[str], Page]


PARTS = [
    Part("weights", 25_000_000, "fewer layers"),
    Part("libraries <b>", 70_000_000, "none"),
    Part("not explained", 4_000_000, "none"),
]


def explained(report: Report, parts: list[Part], trouble: str = "") -> Report:
    """The report of a bench that was asked why."""
    found = Attribution(100_000_000, parts, 60_000_000, 1.42, [], trouble)
    return replace(report, attribution=found)


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


def test_the_parts_are_as_wide_as_their_shares_largest_first_and_the_remainder_last(
    report: Report, read: Read
) -> None:
    page = read(memory.attribution(explained(report, [PARTS[2], *PARTS[:2]])) or "")
    assert widths(page, "part") == pytest.approx([100 * 25 / 99, 100 * 4 / 99, 100 * 70 / 99], 1e-3)
    page = read(memory.attribution(explained(report, PARTS)) or "")
    assert widths(page, "part") == pytest.approx([100 * 70 / 99, 100 * 25 / 99, 100 * 4 / 99], 1e-3)
    assert "libraries <b>" in page.text
    assert not page.all("b")
    for words in ("fewer layers", "70.0%", "explain 95.0%", "40 MB are pages of files", "1.42"):
        assert words in page.text, words


def test_every_part_has_a_colour_of_its_own_in_the_style_sheet(report: Report, read: Read) -> None:
    parts = [Part(f"part {n}", 1_000_000 * (n + 1), "") for n in range(13)]
    page = read(html.render(explained(report, parts)))
    kinds = {a["class"].split()[1] for a in page.of_class("part")}
    assert len(kinds) == 13
    for kind in kinds:
        assert f".{kind} {{ fill:" in page.style


def test_a_remainder_below_zero_has_no_width_but_is_told(report: Report, read: Read) -> None:
    parts = [Part("weights", 101_000_000, ""), Part("not explained", -1_000_000, "")]
    page = read(memory.attribution(explained(report, parts)) or "")
    assert widths(page, "part") == [100.0]
    assert "-1 MB" in page.text


def test_a_report_that_was_not_asked_why_has_no_attribution_and_a_failure_says_why(
    report: Report,
) -> None:
    assert memory.attribution(report) is None
    for parts, trouble, words in (([], "it hung", "it hung"), ([], "", "no parts")):
        text = memory.attribution(explained(report, parts, trouble)) or ""
        assert f"No attribution of memory: {words}" in text
