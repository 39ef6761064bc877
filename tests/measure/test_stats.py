"""The bounds against exact fractions and against simulated benches with a known truth."""

from collections.abc import Callable
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinytx.measure import stats

Array = NDArray[np.float64]
Q = Fraction(95, 100)
ALPHA = Fraction(1, 100)


def at_least(n: int, r: int, q: Fraction = Q) -> Fraction:
    """P(B(n, q) >= r), exactly."""
    return sum((comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(r, n + 1)), Fraction(0))


def with_over(n: int, over: int) -> list[float]:
    """n samples of which so many are over the limit of 10."""
    return [9.0] * (n - over) + [11.0] * over


@pytest.mark.parametrize(("over", "needed"), [(0, 90), (1, 130), (2, 165)])
def test_a_pass_needs_as_many_samples_as_the_design_says(over: int, needed: int) -> None:
    enough = stats.upper_bound(with_over(needed, over), 0.95, 0.99)
    one_less = stats.upper_bound(with_over(needed - 1, over), 0.95, 0.99)
    assert enough == 9.0
    assert one_less is None or one_less == 11.0


def test_a_fail_needs_ninety_nine_percent_as_well() -> None:
    # P(B(2, 0.95) = 0) = 0.0025 <= 1 %: two samples, both over, prove it; P(B(1)=0) = 5 % does not
    assert stats.lower_bound([11.0], 0.95, 0.99) is None
    assert stats.lower_bound([11.0, 12.0], 0.95, 0.99) == 11.0


@pytest.mark.parametrize("n", [1, 2, 89, 90, 129, 130, 165, 1000])
def test_ranks_equal_those_of_exact_fractions(n: int) -> None:
    upper = [r for r in range(1, n + 1) if at_least(n, r) <= ALPHA] if n <= 165 else None
    if upper is None:
        rank = stats.upper_rank(n)
        assert rank is not None
        assert at_least(n, rank) <= ALPHA < at_least(n, rank - 1)
    else:
        assert stats.upper_rank(n) == min(upper, default=None)
        lower = [r for r in range(1, n + 1) if 1 - at_least(n, r) <= ALPHA]
        assert stats.lower_rank(n) == max(lower, default=None)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=400), st.floats(1.0, 8.0))
@settings(max_examples=60, deadline=None)
def test_bounds_are_samples_on_both_sides_of_the_sample_quantile(
    samples: list[float], tau: float
) -> None:
    middle = stats.quantile_of(samples)
    lower = stats.lower_bound(samples, tau=tau)
    upper = stats.upper_bound(samples, tau=tau)
    assert lower is None or (lower in samples and lower <= middle)
    assert upper is None or (upper in samples and upper >= middle)


def test_clustered_samples_are_worth_fewer_independent_ones() -> None:
    samples = [9.0] * 1000
    assert stats.upper_bound(samples, tau=11.0) == 9.0  # worth 90
    assert stats.upper_bound(samples, tau=11.2) is None  # worth 89


def test_a_bound_of_clustered_samples_keeps_its_relative_rank() -> None:
    samples = [float(i) for i in range(1, 261)]  # worth 130: rank 129 of 130 is 258 of 260
    assert stats.upper_rank(130) == 129
    assert stats.upper_bound(samples, tau=2.0) == 258.0


def test_cluster_time_is_one_for_independent_samples_and_long_for_runs() -> None:
    random = np.random.default_rng(3)
    independent = [stats.cluster_time(random.normal(size=1000)) for _ in range(50)]
    assert np.mean(independent) < 1.3
    runs = [stats.cluster_time(np.repeat(random.normal(size=100), 10)) for _ in range(50)]
    assert 6.0 < np.mean(runs) < 14.0  # the indicator of runs of 10 has tau = 10


def test_equal_samples_have_no_clusters() -> None:
    assert stats.cluster_time([5.0] * 500) == 1.0


def test_quantile_of_is_the_smallest_sample_that_enough_are_not_above() -> None:
    assert stats.quantile_of([float(i) for i in range(1, 101)]) == 95.0
    assert stats.quantile_of([3.0, 1.0, 2.0], 0.5) == 2.0
    assert stats.quantile_of([7.0]) == 7.0


def test_all_looks_together_spend_no_more_than_one_percent() -> None:
    spent = sum(1.0 - stats.look_confidence(look) for look in range(40))
    assert spent == pytest.approx(0.01, abs=1e-9)
    assert 1.0 - stats.look_confidence(0, cells=9) == pytest.approx(0.005 / 9)


def test_a_look_that_ends_early_counts_as_the_next_one() -> None:
    numbers = [stats.look_number(n, 256) for n in (10, 256, 257, 512, 513, 1024)]
    assert numbers == [0, 0, 1, 1, 2, 2]


# Simulated benches. Each draw has a true p95 of 1, and slower is worse.
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
Z95 = 1.6448536269514722


def normal(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return (10.0 + random.normal(size=shape)) / (10.0 + Z95)


def log_normal(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return np.exp(0.4 * (random.normal(size=shape) - Z95))


def bimodal(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Nine in ten near 0.5; the tenth is uniform, its middle at 1: the p95."""
    slow = random.random(shape) < 0.1
    return np.where(slow, random.uniform(0.7, 1.3, shape), random.uniform(0.4, 0.6, shape))


def heavy_tail(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Pareto with exponent 3."""
    return (0.05 / (1.0 - random.random(shape))) ** (1.0 / 3.0)


def correlated(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """An autoregressive normal process, rho = 0.8, made log-normal."""
    steps = random.normal(size=shape) * np.sqrt(1.0 - 0.8**2)
    out = np.empty(shape)
    out[:, 0] = random.normal(size=shape[0])
    for i in range(1, shape[1]):
        out[:, i] = 0.8 * out[:, i - 1] + steps[:, i]
    return np.exp(0.3 * (out - Z95))


SHAPES = [normal, log_normal, bimodal, heavy_tail, correlated]
FIRST = 256


def process_passes(samples: Array, limit: float, cells: int) -> bool:
    """Looks at 256, 512, ... samples until one decides."""
    n = FIRST
    while n <= len(samples):
        lower, upper = stats.bounds_at_look(samples[:n], FIRST, cells)
        if upper is not None and upper <= limit:
            return True
        if lower is not None and lower > limit:
            return False
        n *= 2
    return False


def share_of_passes(draw: Draw, limit: float, benches: int, most: int, processes: int) -> float:
    random = np.random.default_rng(11)
    passing = np.arange(benches)
    for _ in range(processes):  # the bench passes when every process does
        samples = draw(random, (len(passing), most))
        kept = [process_passes(row, limit, processes) for row in samples]
        passing = passing[kept]
    return len(passing) / benches


@pytest.mark.parametrize("draw", SHAPES)
def test_a_bundle_one_percent_over_the_limit_hardly_ever_passes(draw: Draw) -> None:
    assert share_of_passes(draw, 1.0 / 1.01, benches=2000, most=1024, processes=3) <= 0.01


@pytest.mark.parametrize("draw", SHAPES[:4])
def test_one_bad_process_among_good_ones_is_enough_to_stop_a_pass(draw: Draw) -> None:
    share = share_of_passes(draw, 1.0 / 1.01, benches=1000, most=1024, processes=1)
    assert share <= 0.01 + 3 * (0.01 * 0.99 / 1000) ** 0.5


@pytest.mark.parametrize("draw", SHAPES)
def test_a_bundle_twenty_percent_under_the_limit_passes(draw: Draw) -> None:
    assert share_of_passes(draw, 1.25, benches=150, most=16_384, processes=3) >= 0.95


def test_the_simulation_would_catch_a_bench_that_trusts_the_sample_quantile() -> None:
    samples = log_normal(np.random.default_rng(5), (500, 1024))
    naive = [stats.quantile_of(row) <= 1.0 / 1.01 for row in samples]
    assert sum(naive) > 0.1 * len(naive)
