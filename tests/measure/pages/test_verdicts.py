"""The table of verdicts: one sentence, one scale."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tinytx.measure.pages import verdicts
from tinytx.measure.policy.budgets import Quantity, Verdict
from tinytx.measure.record.report import Report

Read = Callable[[str], Any]
P, F, N = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "No budget was judged"),
        ([P], "The budget is kept"),
        ([P, P], "All 2 budgets are kept"),
        ([P, N], "1 of 2 budgets not proven"),
        ([F, F, N], "2 of 3 budgets over the limit, 1 not proven"),
    ],
)
def test_one_sentence_counts_the_verdicts(
    report: Report, found: list[Verdict], sentence: str
) -> None:
    rows = [replace(report.budgets[0], verdict=verdict) for verdict in found]
    assert verdicts.summary(replace(report, budgets=rows)) == sentence


def places(page: Any, tag: str, kind: str) -> list[float]:
    x = "cx" if tag == "circle" else "x1"
    return [float(a[x].rstrip("%")) for a in page.all(tag) if kind in a["class"].split()]


def test_the_limit_stands_at_the_same_place_in_every_row(report: Report, read: Read) -> None:
    page = read(verdicts.table(report))
    assert len(places(page, "line", "limit")) == 5
    assert len(set(places(page, "line", "limit"))) == 1


def test_a_figure_stands_left_of_the_limit_when_it_is_below_and_right_when_above(
    report: Report, read: Read
) -> None:
    row = report.budgets[0]
    amounts = [0.4, 200.0, 399.0, 401.0, 800.0]
    rows = [
        replace(row, **dict.fromkeys(("measured", "lower", "upper"), Quantity(amount, "MB")))
        for amount in amounts
    ]
    page = read(verdicts.table(replace(report, budgets=rows)))
    points, limit = places(page, "circle", "point"), places(page, "line", "limit")[0]
    assert points == sorted(points)
    assert [point > limit for point in points] == [False, False, False, True, True]
    assert "0.100 % of the limit" in page.text
    assert "200 % of the limit" in page.text


def test_the_signs_of_the_verdicts_differ_and_not_only_their_colours() -> None:
    assert len(set(verdicts.SIGNS.values())) == len(Verdict)
