"""Simulated benches with a known truth, judged by the functions that judge real ones.

The shapes and the loop over looks are those of ``bench/simulate.py``, which prints larger tables.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tinytx.measure import stats
from tinytx.measure.policy.budgets import Budget, Quantity, Verdict, judge
from tinytx.measure.policy.scenarios import NextToken, Scenarios
from tinytx.measure.record.protocol import Answer
from tinytx.measure.record.report import ProcessRun, Scenario
from tinytx.measure.verdict.judging import latency_figure


def load() -> ModuleType:
    path = Path(__file__).parents[3] / "bench" / "simulate.py"
    spec = importlib.util.spec_from_file_location("simulate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SIMULATE = load()
SHAPES = list(SIMULATE.SHAPES)
BENCHES = 2_000


@pytest.mark.parametrize("shape", SHAPES)
def test_one_percent_over_the_limit_passes_in_at_most_one_bench_of_a_hundred(shape: str) -> None:
    # One cell is over and eight are far under: the hardest case, since PASS needs all nine.
    outcome = SIMULATE.simulate(SIMULATE.SHAPES[shape], SIMULATE.OVER, BENCHES, 1_024, seed=1)
    assert outcome.passed.sum() <= 0.01 * BENCHES


@pytest.mark.parametrize("shape", ["log-normal", "correlated"])
def test_a_second_attempt_cannot_buy_a_pass_even_if_it_were_given_to_every_loser(
    shape: str,
) -> None:
    # A disturbed process is measured once more. Here an adversary disturbs exactly the processes
    # that would not pass: the worst that choosing by the machine's testimony could do.
    draw = SIMULATE.SHAPES[shape]
    passed = [
        SIMULATE.simulate(draw, SIMULATE.OVER, BENCHES, 1_024, seed).passed for seed in (1, 2)
    ]
    assert (passed[0] | passed[1]).sum() <= 0.01 * BENCHES


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_twenty_percent_under_the_limit_passes_in_at_least_95_benches_of_100(shape: str) -> None:
    # The default number: 256 samples per process, doubled until decided, up to 16,384.
    share, _ = SIMULATE.passing(SIMULATE.SHAPES[shape], 500, 16_384, SIMULATE.POLICY.first_look)
    assert share >= 0.95


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_twenty_percent_under_the_limit_hardly_ever_fails(shape: str) -> None:
    outcome = SIMULATE.simulate(SIMULATE.SHAPES[shape], SIMULATE.UNDER, BENCHES, 512, seed=3)
    assert outcome.failed.sum() <= 0.01 * BENCHES / SIMULATE.CELLS + 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [SIMULATE.OVER, SIMULATE.UNDER])
def test_the_whole_judging_code_gives_the_verdicts_of_the_simulation(
    shape: str, limit: float
) -> None:
    outcome = SIMULATE.simulate(SIMULATE.SHAPES[shape], limit, 9 * 6, 256, seed=5)
    budget = Budget("next_token_p95", Quantity(limit, "ms"))
    policy = Scenarios(next_token=NextToken(least_seconds=0))
    for first in range(0, 9 * 6, 9):
        cells = slice(first, first + 9)
        nanoseconds = (outcome.samples[cells] * 1e6).tolist()
        runs = [ProcessRun(answer=Answer(samples_ns=row)) for row in nanoseconds]
        scenarios = [
            Scenario(name="next", kind="next_token", length=16, processes=runs[i : i + 3])
            for i in (0, 3, 6)
        ]
        verdict = judge(budget, latency_figure(scenarios, policy)).verdict
        assert (verdict is Verdict.PASS) == bool(outcome.passed[cells].all())
        assert (verdict is Verdict.FAIL) == bool(outcome.failed[cells].any())


def test_slow_phases_that_the_first_look_would_miss_are_seen_in_a_second_of_samples() -> None:
    draw = SIMULATE.slow_phases(16)  # slow for 16 steps in 160: 50 ms with steps of 0.3 ms
    hasty = SIMULATE.simulate(draw, SIMULATE.OVER, 400, 256, seed=1)
    patient = SIMULATE.simulate(draw, SIMULATE.OVER, 400, 3_333, seed=1, first=3_333)
    assert hasty.passed.mean() > 0.1
    assert patient.passed.mean() <= 0.01


def test_the_simulation_would_catch_a_bench_that_trusts_the_sample_quantile() -> None:
    samples = SIMULATE.log_normal(np.random.default_rng(5), 500, 1_024, None)
    naive = [stats.quantile_of(row) <= SIMULATE.OVER for row in samples]
    assert sum(naive) > 0.1 * len(naive)


def test_the_simulation_would_catch_a_bench_that_takes_correlated_steps_for_independent() -> None:
    samples = SIMULATE.equal_in_blocks(np.random.default_rng(6), 500, 1_024, None)
    naive = [stats.upper_bound(row) for row in samples]
    assert sum(upper is not None and upper <= SIMULATE.OVER for upper in naive) > 0.02 * len(naive)
