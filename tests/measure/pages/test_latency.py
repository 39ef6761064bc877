"""Drawings of latency: nothing left out, marks where they belong."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tinytx.measure import stats
from tinytx.measure.pages import latency
from tinytx.measure.pages.figures import Cell, cells, histogram, judged
from tinytx.measure.policy.budgets import Quantity
from tinytx.measure.record.report import Report, Scenario

Page = Any  # of conftest
Read = Callable[[str], Page]
Sampled = Callable[[Report, list[int]], Report]

SCENARIO = Scenario(name="next token at 9", kind="next_token", length=9, processes=[])


def cell(samples: list[int]) -> Cell:
    return Cell(SCENARIO, 1, np.sort(np.asarray(samples, np.int64)))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_the_histogram_counts_every_sample_and_agrees_with_a_plain_count(
    samples: list[int],
) -> None:
    edges = [0.0, 0.1, 1.0, 50.0, 1e3, 1e5]
    counts = histogram(cell(samples), edges)
    assert sum(counts) == len(samples)
    inside = [sum(1e6 <= s < 50e6 for s in samples), sum(50e6 <= s < 1e9 for s in samples)]
    assert counts[2:4] == inside


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200))
def test_a_cell_has_the_quantiles_of_the_judging_code(samples: list[int]) -> None:
    one = cell(samples)
    assert one.median == stats.quantile_of(samples, 0.5) / 1e6
    assert one.p95 == stats.quantile_of(samples) / 1e6
    assert (one.fastest, one.slowest) == (min(samples) / 1e6, max(samples) / 1e6)


def test_the_judged_process_is_the_one_with_the_highest_p95(report: Report) -> None:
    found = judged(cells(report, "next_token", "end_to_end"))
    assert found is not None
    highest = max(
        stats.quantile_of(answer.samples_ns)
        for scenario in report.scenarios
        if scenario.kind == "next_token"
        for answer in scenario.answers
    )
    assert found.p95 == highest / 1e6
    assert judged([]) is None


def marks(page: Page) -> dict[str, float]:
    """Class of each marking line and its place in per cent."""
    lines = [a for a in page.all("line") if (a["class"] or "").startswith("mark ")]
    return {(a["class"] or "").split()[1]: float((a["x1"] or "").rstrip("%")) for a in lines}


def test_median_p95_bound_slowest_and_limit_stand_in_the_order_of_their_figures(
    report: Report, read: Read
) -> None:
    found = cells(report, "next_token")
    page = read(latency.distribution(report, found) or "")
    places = marks(page)
    worst = judged(found)
    row = report.budgets[2]
    assert worst is not None
    assert row.upper is not None
    figures = {
        "median": worst.median, "p95": worst.p95, "slowest": worst.slowest,
        "bound": row.upper.base / 1e6, "limit": 250.0,
    }  # fmt: skip
    assert sorted(places, key=lambda k: places[k]) == sorted(figures, key=lambda k: figures[k])
    span = np.log10(figures["limit"] / figures["median"])
    share = np.log10(figures["p95"] / figures["median"]) / span
    drawn = (places["p95"] - places["median"]) / (places["limit"] - places["median"])
    assert abs(drawn - share) < 1e-3


def test_a_single_slow_step_is_drawn(report: Report, with_samples: Sampled) -> None:
    samples = [1_000_000] * 999 + [90_000_000]
    changed = with_samples(report, samples)
    text = latency.distribution(changed, cells(changed, "next_token")) or ""
    (path,) = re.findall(r'<path d="(M[^"]+)" class="area"', text)
    heights = [float(h) for h in re.findall(r"v-([\d.]+)h", path)]
    assert len(heights) == 2
    assert heights[0] == latency.HEIGHT
    assert heights[1] == latency.SEEN


def test_every_process_has_a_dot_at_its_context_length(report: Report, read: Read) -> None:
    found = cells(report, "next_token", "first_token")
    page = read(latency.contexts(report, found) or "")
    dots = [a for a in page.of_class("dot-p95") if "cx" in a]
    assert len(dots) == 9
    places = sorted({float((a["cx"] or "").rstrip("%")) for a in dots})
    first, middle, last = places
    assert np.isclose((middle - first) / (last - first), (128 - 16) / (256 - 16), rtol=1e-3)


def test_a_limit_within_sight_is_drawn_and_a_far_one_is_told(report: Report) -> None:
    found = cells(report, "next_token")
    assert "times the highest p95" in (latency.contexts(report, found) or "")
    row = report.budgets[2]
    near = replace(row, budget=replace(row.budget, limit=Quantity(0.6, "ms")))
    text = latency.contexts(replace(report, budgets=[near]), found) or ""
    assert "times the highest p95" not in text
    assert "limit 0.600 ms" in text


def test_without_samples_there_is_no_drawing(report: Report) -> None:
    assert latency.distribution(report, []) is None
    assert latency.contexts(report, []) is None
