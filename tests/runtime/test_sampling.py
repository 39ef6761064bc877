"""Sampling against a second, slow implementation in plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tinytx.errors import UsageError
from tinytx.runtime.sampling import Sampler, Sampling, distribution, in_nucleus, penalised

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Busy machines are slow; that is no failure."""

LOGIT = st.floats(-30, 30, width=32) | st.sampled_from([-1.0, 0.0, 0.5, 2.0])
LOGITS = st.lists(LOGIT, min_size=1, max_size=24)


def slow(
    logits: list[float], temperature: float, top_k: int, top_p: float
) -> tuple[dict[int, float], float]:
    """Probabilities of the kept tokens, and how near a sum came to ``top_p`` (rounding)."""
    best = max(logits)
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    order = order[: top_k or None]
    weights = {i: math.exp((logits[i] - best) / temperature) for i in order}
    total = math.fsum(weights.values())
    kept: dict[int, float] = {}
    nearest = 1.0
    if top_p == 1.0:
        return {i: weight / total for i, weight in weights.items()}, nearest
    for i in order:
        kept[i] = weights[i] / total
        reached = math.fsum(kept.values())
        nearest = min(nearest, abs(reached - top_p))
        if reached >= top_p:
            break
    whole = math.fsum(kept.values())
    return {i: p / whole for i, p in kept.items()}, nearest


@CALM
@given(
    LOGITS,
    st.floats(0.05, 20),
    st.integers(0, 30),
    st.just(1.0) | st.floats(0.01, 1.0),
)
def test_the_distribution_is_that_of_the_slow_implementation(
    logits: list[float], temperature: float, top_k: int, top_p: float
) -> None:
    expected, nearest = slow(logits, temperature, top_k, top_p)
    assume(nearest > 1e-9)  # which side of top_p a sum falls on must not hang on rounding
    ids, probabilities = distribution(
        np.array(logits, np.float32), Sampling(temperature, top_k, top_p)
    )
    assert ids.tolist() == list(expected)
    np.testing.assert_allclose(probabilities, list(expected.values()), rtol=1e-9, atol=1e-15)
    assert math.isclose(probabilities.sum(), 1.0)


@CALM
@given(LOGITS, st.floats(0.05, 20), st.floats(0.01, 0.999))
def test_a_token_is_accepted_exactly_when_the_sorted_nucleus_holds_it(
    logits: list[float], temperature: float, top_p: float
) -> None:
    expected, nearest = slow(logits, temperature, 0, top_p)
    assume(nearest > 1e-5)  # float32 weights
    array = np.array(logits, np.float32)
    weights = np.exp((array - array.max()) / np.float32(temperature))
    wanted = top_p * float(weights.sum(dtype=np.float64))
    # Logits that differ by a rounding have equal weights, and may then change places.
    assume(len(set(weights.tolist())) == len(set(array.tolist())))
    accepted = [i for i in range(len(logits)) if in_nucleus(weights, i, wanted)]
    assert sorted(expected) == accepted


def test_a_worked_example() -> None:
    """exp(logit) is 4, 2, 1, 1: probabilities a half, a quarter, two eighths."""
    logits = np.log(np.array([1, 4, 1, 2], np.float32))
    ids, p = distribution(logits, Sampling(1.0))
    assert ids.tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(p, [1 / 2, 1 / 4, 1 / 8, 1 / 8], rtol=1e-6)
    ids, p = distribution(logits, Sampling(1.0, top_k=3))
    assert ids.tolist() == [1, 3, 0]
    np.testing.assert_allclose(p, [4 / 7, 2 / 7, 1 / 7], rtol=1e-6)
    ids, p = distribution(logits, Sampling(1.0, top_p=0.74))
    assert ids.tolist() == [1, 3]
    np.testing.assert_allclose(p, [2 / 3, 1 / 3], rtol=1e-6)
    ids, p = distribution(logits, Sampling(0.5))
    np.testing.assert_allclose(p, [16 / 22, 4 / 22, 1 / 22, 1 / 22], rtol=1e-6)
    ids, p = distribution(logits, Sampling(1.0, top_k=2, top_p=0.66))
    assert ids.tolist() == [1]


def test_a_worked_example_of_min_p() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8: a third of the best is 1/6, a quarter is 1/8."""
    logits = np.log(np.array([1, 4, 1, 2], np.float32))
    ids, p = distribution(logits, Sampling(1.0, min_p=1 / 3))
    assert ids.tolist() == [1, 3]
    np.testing.assert_allclose(p, [2 / 3, 1 / 3], rtol=1e-6)
    assert distribution(logits, Sampling(1.0, min_p=0.2499))[0].tolist() == [1, 3, 0, 2]
    assert distribution(logits, Sampling(1.0, top_k=3, min_p=0.2499))[0].tolist() == [1, 3, 0]
    assert distribution(logits, Sampling(1.0, min_p=1.0))[0].tolist() == [1]
    assert distribution(logits, Sampling(0.5, min_p=0.2499))[0].tolist() == [1, 3]  # after scaling


def test_a_worked_example_of_the_repetition_penalty() -> None:
    logits = np.array([2.0, -2.0, 0.0, 3.0], np.float32)
    np.testing.assert_array_equal(penalised(logits, {0, 1, 2}, 2.0), [1.0, -4.0, 0.0, 3.0])
    np.testing.assert_array_equal(logits, [2.0, -2.0, 0.0, 3.0])
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    assert sampler(logits) == 3
    sampler.observe([3, 3])
    assert sampler(logits) == 0
    sampler.observe([0])
    assert sampler(logits) == 3


def test_without_a_penalty_nothing_is_remembered() -> None:
    sampler = Sampler(Sampling(1.0, seed=1))
    sampler.observe(range(5))
    logits = np.linspace(0, 1, 5, dtype=np.float32)
    assert [sampler(logits) for _ in range(20)] == [
        token
        for other in [Sampler(Sampling(1.0, seed=1))]
        for token in [other(logits) for _ in range(20)]
    ]


def test_ties_are_kept_in_the_order_of_the_ids() -> None:
    logits = np.zeros(8, np.float32)
    assert distribution(logits, Sampling(1.0, top_k=3))[0].tolist() == [0, 1, 2]
    assert distribution(logits, Sampling(1.0, top_p=0.5))[0].tolist() == [0, 1, 2, 3]
    logits[[6, 2]] = 1.0
    assert distribution(logits, Sampling(1.0, top_k=3))[0].tolist() == [2, 6, 0]
    assert Sampler(Sampling())(logits) == 2


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-30, 1e-3])
def test_a_temperature_near_zero_is_greedy(temperature: float) -> None:
    logits = np.array([1.0, -50.0, 8.0, 7.5, -1e9], np.float32)
    ids, probabilities = distribution(logits, Sampling(temperature))
    assert ids[0] == 2
    assert probabilities[0] == 1.0
    assert [Sampler(Sampling(temperature, seed=s))(logits) for s in range(20)] == [2] * 20


def test_a_huge_temperature_is_uniform() -> None:
    logits = np.array([1.0, -50.0, 8.0, 7.5], np.float32)
    np.testing.assert_allclose(distribution(logits, Sampling(1e300))[1], [0.25] * 4)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1.0, seed=1),
        Sampling(0.7, seed=2),
        Sampling(1.3, top_k=4, seed=3),
        Sampling(1.0, top_p=0.8, seed=4),
        Sampling(2.0, top_k=6, top_p=0.9, seed=5),
        Sampling(1.0, min_p=0.2, seed=6),
        Sampling(1.0, top_k=5, min_p=0.2, seed=7),
    ],
)
def test_tokens_are_drawn_as_often_as_their_probability_says(sampling: Sampling) -> None:
    logits = [2.0, -1.0, 0.5, 0.5, 1.5, -3.0, 0.0, 1.0]
    expected, _ = slow(logits, sampling.temperature, sampling.top_k, sampling.top_p)
    least = sampling.min_p * max(expected.values())
    total = sum(p for p in expected.values() if p >= least)
    expected = {token: p / total for token, p in expected.items() if p >= least}
    sampler, array, draws = Sampler(sampling), np.array(logits, np.float32), 20_000
    counts = Counter(sampler(array) for _ in range(draws))
    assert set(counts) <= set(expected)
    for token, p in expected.items():
        deviation = math.sqrt(p * (1 - p) / draws)
        assert abs(counts[token] / draws - p) < 4.5 * deviation + 1e-12, token


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others() -> None:
    logits = np.linspace(0, 1, 50, dtype=np.float32)

    def draw(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(1.0, seed=seed))
        return [sampler(logits) for _ in range(40)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(None) != draw(None)
    assert draw(0) == draw(0)


@CALM
@given(LOGITS, st.integers(0, 5))
def test_greedy_and_top_k_of_one_take_the_first_of_the_best(logits: list[float], seed: int) -> None:
    array = np.array(logits, np.float32)
    best = logits.index(max(logits))
    assert Sampler(Sampling())(array) == best
    assert Sampler(Sampling(1.0, top_k=1, seed=seed))(array) == best
    assert Sampler(Sampling(1.0, top_p=1e-9, seed=seed))(array) == best


def test_a_greedy_sampler_ignores_the_other_settings() -> None:
    logits = np.array([1.0, 3.0, 2.0], np.float32)
    assert Sampler(Sampling(0.0, top_k=2, top_p=0.5, seed=3))(logits) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more, not -0.1"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top-k must be 0 or more, not -1"),
        ({"top_p": 0.0}, "top-p must be above 0 and at most 1, not 0.0"),
        ({"top_p": -0.5}, "top-p"),
        ({"top_p": 1.0001}, "top-p"),
        ({"top_p": math.nan}, "top-p"),
        ({"min_p": -0.1}, "min-p must be from 0 to 1, not -0.1"),
        ({"min_p": 1.1}, "min-p"),
        ({"min_p": math.nan}, "min-p"),
        ({"repetition_penalty": 0.9}, "repetition penalty must be from 1 to 100, not 0.9"),
        ({"repetition_penalty": math.nan}, "repetition penalty"),
        ({"repetition_penalty": math.inf}, "repetition penalty"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Sampling(**settings)  # type: ignore[arg-type]
