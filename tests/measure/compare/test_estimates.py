"""Intervals of a difference: against tables, brute force and simulated machines."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinytx.measure.compare.estimates import (
    PAIRS,
    Difference,
    paired,
    pairs_needed,
    signed_rank_cut,
    student_quantile,
    together,
    unpaired,
)

Logs = NDArray[np.float64]


@pytest.mark.parametrize(
    ("n", "cut"), [(5, None), (6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (11, 10), (12, 13)]
)
def test_the_signed_rank_cut_is_that_of_the_printed_tables(n: int, cut: int | None) -> None:
    assert signed_rank_cut(n, 0.95) == cut


@pytest.mark.parametrize(
    ("df", "confidence", "t"),
    [
        *[(1, 0.95, 12.706), (2, 0.95, 4.303), (3, 0.95, 3.182), (4, 0.95, 2.776)],
        *[(5, 0.99, 4.032), (10, 0.99, 3.169), (30, 0.95, 2.042), (4, 0.999, 8.610)],
        *[(2, 0.999, 31.599), (7, 0.999, 5.408), (120, 0.95, 1.980)],
    ],
)
def test_students_quantile_is_that_of_the_printed_tables(
    df: int, confidence: float, t: float
) -> None:
    assert student_quantile(df, confidence) == pytest.approx(t, abs=6e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.9989])
def test_pairs_needed_is_the_least_number_that_has_a_cut(confidence: float) -> None:
    needed = pairs_needed(confidence)
    assert signed_rank_cut(needed, confidence) is not None
    assert signed_rank_cut(needed - 1, confidence) is None


def test_the_paired_interval_holds_exactly_the_shifts_that_brute_force_does_not_reject() -> None:
    a = np.exp(np.random.default_rng(3).normal(0, 0.1, 9))
    b = a * np.exp(np.random.default_rng(4).normal(0.2, 0.1, 9))
    found = paired(list(a), list(b), 0.97)
    assert found.lower is not None and found.upper is not None

    def rejected(shift: float) -> bool:
        """The two-sided signed-rank test of all 512 sign patterns."""
        d = np.log(b / a) - shift
        ranks = np.argsort(np.argsort(np.abs(d))) + 1
        sums = [
            sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=9)
        ]
        seen = ranks[d > 0].sum()
        tails = [np.mean([s <= seen for s in sums]), np.mean([s >= seen for s in sums])]
        return bool(min(tails) <= 0.015)

    for edge, inward in ((math.log1p(found.lower), 1e-6), (math.log1p(found.upper), -1e-6)):
        assert not rejected(edge + inward)
        assert rejected(edge - inward)


FIGURE = st.floats(1e3, 1e9)


@given(st.lists(st.tuples(FIGURE, FIGURE), min_size=8, max_size=12))
def test_swapping_the_sides_inverts_the_difference(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    for compare in (paired, unpaired):
        there, back = compare(a, b, 0.95), compare(b, a, 0.95)
        assert there.sign == -back.sign or (1 + there.change) == pytest.approx(1)
        assert (1 + there.change) * (1 + back.change) == pytest.approx(1)
        assert there.lower is not None and back.upper is not None
        assert (1 + there.lower) * (1 + back.upper) == pytest.approx(1)
        assert there.lower <= there.change * (1 + 1e-9) + 1e-9


def test_a_factor_that_every_pair_shares_is_found_to_the_last_digit() -> None:
    a = [float(3**i) for i in range(10)]
    found = paired(a, [1.25 * x for x in a], 0.99)
    assert found.change == pytest.approx(0.25)
    assert (found.lower, found.upper) == (pytest.approx(0.25), pytest.approx(0.25))
    assert found.sign == 1


def test_too_few_processes_have_a_change_and_no_interval() -> None:
    for found in (paired([1.0, 1.0], [2.0, 2.0], 0.95), unpaired([1.0], [2.0], 0.95)):
        assert found == Difference(change=pytest.approx(1.0))
        assert found.sign == 0


def test_three_processes_that_happen_to_agree_prove_nothing_when_their_like_do_not() -> None:
    a, b = [100.0, 100.01, 100.02], [108.0, 108.01, 108.02]
    like = [([100.0, 108.0, 100.0], [108.0, 100.0, 108.0])] * 2
    assert unpaired(a, b, 0.99).sign == 1
    assert unpaired(a, b, 0.99, like=like).sign == 0


def test_a_change_that_the_machine_may_have_made_itself_is_no_finding() -> None:
    a, b = [100.0, 100.01, 100.02], [102.0, 102.01, 102.02]
    assert unpaired(a, b, 0.95).sign == 1
    assert unpaired(a, b, 0.95, drift=0.03).sign == 0


FIGURES = 9
"""Three groups of three: medians and p95 of the next token, medians of the first."""


def calm(rng: np.random.Generator, runs: int) -> Logs:
    return rng.normal(0.0, 0.02, (runs, FIGURES))


def heavy_tailed(rng: np.random.Generator, runs: int) -> Logs:
    return 0.01 * rng.standard_t(2, (runs, FIGURES))


def two_kinds_of_process(rng: np.random.Generator, runs: int) -> Logs:
    return 0.05 * (rng.random((runs, FIGURES)) < 0.3) + rng.normal(0.0, 0.005, (runs, FIGURES))


def drifting(rng: np.random.Generator, runs: int) -> Logs:
    """Slower and slower, and up and down, all figures together."""
    time = np.arange(runs)[:, None]
    wave = 0.1 * np.sin(time / 5.0 + rng.random() * 6.3) + 0.3 * time / runs
    return wave + rng.normal(0.0, 0.01, (runs, FIGURES))


def wandering(rng: np.random.Generator, runs: int) -> Logs:
    walk = np.cumsum(rng.normal(0.0, 0.015, runs))[:, None]
    return walk + rng.normal(0.0, 0.01, (runs, FIGURES))


def second_is_slower(rng: np.random.Generator, runs: int) -> Logs:
    odd = (np.arange(runs) % 2)[:, None]
    return 0.03 * odd + rng.normal(0.0, 0.01, (runs, FIGURES))


def now_and_then_disturbed(rng: np.random.Generator, runs: int) -> Logs:
    bursts = rng.exponential(0.5, (runs, 1)) * (rng.random((runs, 1)) < 0.02)
    return bursts + rng.normal(0.0, 0.01, (runs, FIGURES))


MACHINES = [
    *[calm, heavy_tailed, two_kinds_of_process, drifting, wandering, second_is_slower],
    now_and_then_disturbed,
]
Machine = Callable[[np.random.Generator, int], Logs]


def in_turns(logs: Logs) -> tuple[Logs, Logs]:
    """A B B A A B B A ...: which of the runs were A's, and which B's."""
    first = np.arange(0, len(logs), 2)
    swapped = first % 4 // 2
    return np.exp(logs[first + swapped]), np.exp(logs[first + 1 - swapped])


def findings(a: Logs, b: Logs) -> list[Difference]:
    confidence = together(0.99, FIGURES)
    return [paired(a[:, f].tolist(), b[:, f].tolist(), confidence) for f in range(FIGURES)]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_against_a_shows_no_difference_in_95_of_100_comparisons(machine: Machine) -> None:
    rng = np.random.default_rng(11)
    comparisons = [findings(*in_turns(machine(rng, 2 * PAIRS))) for _ in range(200)]
    wrong = sum(any(found.sign for found in one) for one in comparisons)
    assert wrong <= 200 * 0.05


@pytest.mark.parametrize("machine", MACHINES)
def test_b_5_per_cent_slower_is_found_in_nine_of_ten_comparisons(machine: Machine) -> None:
    rng = np.random.default_rng(12)
    seen = 0
    for _ in range(60):
        a, b = in_turns(machine(rng, 2 * PAIRS))
        found = findings(a, 1.05 * b)
        assert not any(one.sign < 0 for one in found)
        seen += any(one.sign > 0 for one in found)
    assert seen >= 54


def test_the_smallest_visible_difference_is_seen_in_about_nine_of_ten_comparisons() -> None:
    rng = np.random.default_rng(13)
    confidence = together(0.99, FIGURES)
    noise = rng.normal(0.0, 0.02, (300, 2, PAIRS))
    promised = np.median([paired(*np.exp(one), confidence).smallest for one in noise])
    noise = rng.normal(0.0, 0.02, (300, 2, PAIRS))
    noise[:, 1] += math.log1p(promised)
    seen = np.mean([paired(*np.exp(one), confidence).sign == 1 for one in noise])
    assert 0.8 <= seen <= 0.98


@pytest.mark.parametrize("machine", MACHINES)
def test_two_reports_of_one_bundle_in_a_row_show_no_difference(machine: Machine) -> None:
    rng = np.random.default_rng(14)
    confidence = together(0.99, FIGURES)
    wrong = 0
    for _ in range(100):
        first, second = np.split(np.exp(machine(rng, 6)), 2)
        for f in range(FIGURES):
            like = [
                (first[:, g].tolist(), second[:, g].tolist())
                for g in range(f // 3 * 3, f // 3 * 3 + 3)
                if g != f
            ]
            found = unpaired(
                first[:, f].tolist(), second[:, f].tolist(), confidence, like=like, drift=0.03
            )
            if found.sign:
                wrong += 1
                break
    assert wrong <= 5
