"""The bounds against exact fractions and figures computed by hand."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.measure import stats

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


def test_a_tenth_and_more_that_share_the_highest_value_are_the_slow_ones() -> None:
    runs = ([1.0] * 224 + [2.0] * 32) * 4
    assert stats.cluster_time(runs) > 16.0
    assert stats.cluster_time([2.0] * 1000 + [1.0] * 24) > 5.0  # nearly all share it


def by_definition(samples: list[float]) -> float:
    """Geyer's initial positive sequence, written out."""
    n = len(samples)
    border = sorted(samples)[-(-n * 9 // 10) - 1]
    slow = [float(x > border) for x in samples]
    mean = sum(slow) / n
    gamma = [
        sum((slow[i] - mean) * (slow[i + lag] - mean) for i in range(n - lag)) for lag in range(n)
    ]
    tau = -1.0
    for lag in range(0, n // 4, 2):
        pair = (gamma[lag] + gamma[lag + 1]) / gamma[0]
        if pair <= 0:
            break
        tau += 2 * pair
    return max(tau, 1.0)


@pytest.mark.parametrize("n", [16, 63, 200])
def test_the_autocorrelation_time_is_the_sum_of_its_definition(n: int) -> None:
    walk = np.random.default_rng(n).normal(size=n).cumsum()
    assert stats.cluster_time(list(walk)) == pytest.approx(by_definition(list(walk)))


def test_equal_blocks_are_worth_one_sample_each() -> None:
    random = np.random.default_rng(4)
    rows = np.repeat(random.normal(size=(200, 64)), 8, axis=1)
    times = stats.cluster_times(rows, block=8)
    assert 8.0 < np.mean(times) < 11.0  # the worse of two estimates, each of 8
    assert all(stats.cluster_times(rows, block=8) >= stats.cluster_times(rows))


def test_the_block_estimate_alone_is_the_ratio_of_two_variances() -> None:
    slow = [1.0, 1.0, 0.0, 0.0] + [0.0] * 12 + [1.0, 1.0, 0.0, 0.0]  # 4 of 20, in blocks of 2
    means = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert stats._block_times(np.array([slow]), 2)[0] == pytest.approx(
        2.0 * np.var(means, ddof=1) / (0.2 * 0.8)
    )


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


def test_a_pace_that_drifts_does_not_hide_a_limit_far_above_it() -> None:
    """Phases of seconds at two levels: worth a handful for the level, hundreds for the tail."""
    random = np.random.default_rng(8)
    level = np.repeat([100.0, 100.0, 100.0, 150.0] * 2, 8_192)
    steps = level * random.lognormal(0.0, 0.02, len(level))
    worth = len(steps) / stats.cluster_time(steps, 8)
    assert worth < 90  # the first way proves nothing
    _, upper = stats.bounds_at_look(steps, 256, cells=9, block=8)
    assert upper is not None
    assert stats.quantile_of(steps, 0.99) <= upper < stats.quantile_of(steps, 0.999)
    assert stats.decided(steps, 10_000.0, 256, 9, 8)
    assert not stats.decided(steps, stats.quantile_of(steps, 0.985), 256, 9, 8)


def test_a_tail_that_comes_in_one_lump_proves_nothing_by_the_second_way_either() -> None:
    random = np.random.default_rng(8)
    steps = random.lognormal(0.0, 0.1, 65_536)
    steps[:650] *= 1_000  # one slow phase in all this time: the next may be longer
    tau = float(stats.cluster_times(steps[None], 8, stats.RARE_QUANTILE)[0])
    look = stats.look_confidence(stats.look_number(len(steps), 256))
    assert stats._rare_upper(np.sort(steps), (1.0 + look) / 2.0, tau) is None
    scattered = random.permutation(steps)  # as many slow steps, but each by itself
    tau = float(stats.cluster_times(scattered[None], 8, stats.RARE_QUANTILE)[0])
    assert stats._rare_upper(np.sort(scattered), (1.0 + look) / 2.0, tau) is not None


def test_few_samples_have_the_first_way_only() -> None:
    steps = np.random.default_rng(8).lognormal(0.0, 0.1, stats.RARE_LEAST - 1)
    look = stats.look_confidence(stats.look_number(len(steps), 256))
    expected = stats.upper_bound(steps, stats.QUANTILE, look, stats.cluster_time(steps, 8))
    assert stats.bounds_at_look(steps, 256, cells=9, block=8)[1] == expected


@pytest.mark.parametrize(
    ("hits", "n", "lower", "upper"),
    [
        (0, 459, 0.0, 0.0099829),  # 1 - 0.01 ** (1 / 459)
        (0, 458, 0.0, 0.0100046),
        (10, 10, 0.6309573, 1.0),  # 0.01 ** (1 / 10)
        (1, 2, 0.0050126, 0.9949874),  # 1 - sqrt(0.99), sqrt(0.99)
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_bounds_of_a_share_are_exact(hits: int, n: int, lower: float, upper: float) -> None:
    assert stats.share_bounds(hits, n) == pytest.approx((lower, upper), abs=1e-6)
