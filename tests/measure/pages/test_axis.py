"""Axes: places, round ticks, and figures that no axis can hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.measure.pages.axis import Axis, around, short

FIGURES = st.floats(1e-6, 1e15)


def test_a_linear_place_and_a_logarithmic_one() -> None:
    assert Axis(0, 10).at(2.5) == 0.25
    assert Axis(1, 100, log=True).at(10) == 0.5
    assert Axis(1, 100, log=True).at(0) == 0.0
    assert Axis(0, 10).at(11) == 1.0
    assert Axis(3, 3).at(3) == 0.5


@pytest.mark.parametrize(
    ("axis", "wanted", "ticks"),
    [
        (Axis(0, 10), 5, [0, 2, 4, 6, 8, 10]),
        (Axis(0, 0.55), 4, [0, 0.2, 0.4]),
        (Axis(0, 533), 5, [0, 200, 400]),
        (Axis(0.3, 300, log=True), 5, [1, 10, 100]),
        (Axis(0.9, 6, log=True), 5, [1, 2, 5]),
        (Axis(1e-3, 1e6, log=True), 4, [1e-3, 1e-1, 1e1, 1e3, 1e5]),
        (Axis(2, 2), 5, [2]),
    ],
)
def test_ticks_are_round(axis: Axis, wanted: int, ticks: list[float]) -> None:
    assert axis.ticks(wanted) == pytest.approx(ticks)


@given(st.lists(FIGURES, min_size=1, max_size=9))
def test_an_axis_around_figures_holds_them_all_in_order(figures: list[float]) -> None:
    axis = around(figures)
    places = [axis.at(figure) for figure in sorted(figures)]
    assert places == sorted(places)
    assert 0.0 <= places[0] <= places[-1] <= 1.0
    assert axis.low < min(figures)
    assert axis.high > max(figures)


@given(FIGURES, FIGURES, st.booleans(), st.integers(2, 8))
def test_ticks_are_few_ascending_and_on_the_axis(
    one: float, other: float, log: bool, wanted: int
) -> None:
    axis = Axis(min(one, other), max(one, other), log)
    ticks = axis.ticks(wanted)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 3 * wanted + 3
    room = 1e-6 * max(abs(axis.low), abs(axis.high))
    assert all(axis.low - room <= tick <= axis.high + room for tick in ticks)
    assert all(math.isfinite(tick) for tick in ticks)


def test_figures_of_ticks_are_short() -> None:
    assert [short(x) for x in (0.0, 0.2, 0.30000000000000004, 100.0, 1e6)] == [
        "0", "0.2", "0.3", "100", "1,000,000",
    ]  # fmt: skip
