"""From answers of workers to rows: the worst counts, and nothing is ever missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure import stats
from tinytx.measure.judging import latency_figure, memory_figure
from tinytx.measure.memory import Resident
from tinytx.measure.protocol import Answer, Phases
from tinytx.measure.report import ProcessRun, Scenario
from tinytx.measure.scenarios import NextToken, Scenarios

Tree = Callable[..., Path]
POLICY = Scenarios(next_token=NextToken(first_look=128, least_seconds=0))


def timed(*samples: list[int], name: str = "next token at 16", settled: bool = True) -> Scenario:
    runs = [ProcessRun(answer=Answer(samples_ns=s, settled=settled)) for s in samples]
    return Scenario(name=name, kind="next_token", length=16, processes=runs)


def remembered(*figures: tuple[int, int], swap: int = 0) -> Scenario:
    """Memory processes with a resident set at rest and a peak each, in MB."""
    runs = []
    for rest, peak in figures:
        at_rest = Resident(rest * 1_000_000, 1, 1, swap)
        phases = Phases(
            interpreter=1, load=peak * 1_000_000, prompt=2, decode=3, at_rest=at_rest, separate=True
        )
        runs.append(ProcessRun(answer=Answer(memory=phases)))
    return Scenario(name="memory", kind="memory", length=48, processes=runs)


def test_the_worst_process_at_the_worst_context_is_judged() -> None:
    good, bad = [10] * 128, ([10] * 4 + [90]) * 25 + [10] * 3
    figure = latency_figure([timed(good, good, good), timed(good, bad, good, name="at 48")], POLICY)
    assert figure.measured == 90
    assert figure.upper == 90
    assert "worst of 6 processes (at 48), 128 steps each" in figure.basis


def test_bounds_are_those_of_the_statistics_corrected_for_the_looks_and_cells() -> None:
    samples = [(i * 7919) % 1000 for i in range(256)]
    figure = latency_figure([timed(samples, samples, samples)], POLICY)
    tau = stats.cluster_time(samples)
    confidence = 1 - 0.01 / 4  # the second look: 128, then 256
    assert figure.upper == stats.upper_bound(samples, 0.95, confidence, tau)
    assert figure.lower == stats.lower_bound(samples, 0.95, 1 - 0.01 / 4 / 3, tau)


def test_too_few_samples_in_one_process_leave_no_upper_bound() -> None:
    figure = latency_figure([timed([10] * 128, [10] * 128, [10] * 20)], POLICY)
    assert figure.upper is None
    assert "at 16: 20 steps, worth 20 independent ones, were too few" in figure.unproven


def test_the_process_whose_slow_steps_cluster_most_is_the_one_that_proves_nothing() -> None:
    clustered = ([10] * 117 + [90] * 11) * 2
    scattered = [(i * 7919) % 1000 for i in range(256)]
    figure = latency_figure([timed(scattered, clustered, scattered)], POLICY)
    tau = stats.cluster_time(clustered)
    assert tau > 5
    assert figure.upper is None
    assert f"256 steps, worth {256 / tau:.0f} independent ones" in figure.unproven


def test_slow_steps_in_one_long_run_prove_nothing_though_many_share_their_value() -> None:
    figure = latency_figure([timed([10] * 128, [10] * 128, [10] * 100 + [90] * 28)], POLICY)
    assert (figure.measured, figure.upper, figure.lower) == (90, None, 10)


def test_steps_that_add_up_to_too_short_a_time_decide_nothing() -> None:
    hasty = Scenarios(next_token=NextToken(first_look=128, least_seconds=0.001))
    long, short = [10_000] * 128, [7_000] * 128
    figure = latency_figure([timed(long, short, long)], hasty)
    assert figure.upper is None
    assert figure.lower == 10_000
    assert "128 steps of 0.000896 s in all were too short to decide (0.001 s" in figure.unproven
    assert latency_figure([timed(long, long, long)], hasty).upper == 10_000


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (timed([10] * 128, [10] * 128), "only 2 of 3 processes ran"),
        (timed([10] * 128, [10] * 128, [10] * 128, settled=False), "did not settle"),
        (
            Scenario(
                name="next token at 16",
                kind="next_token",
                length=16,
                processes=[ProcessRun(trouble="its worker process hung")],
            ),
            "next token at 16: its worker process hung",
        ),
    ],
)
def test_trouble_with_a_scenario_is_the_reason(scenario: Scenario, words: str) -> None:
    assert words in latency_figure([scenario], POLICY).trouble


def test_without_any_scenario_the_row_says_that_nothing_was_measured() -> None:
    assert latency_figure([], POLICY).trouble == "it was not measured"
    assert memory_figure([], 3, at_rest=True).trouble == "it was not measured"


def test_memory_is_the_largest_of_the_processes() -> None:
    scenario = remembered((80, 100), (82, 90), (81, 95))
    rest = memory_figure([scenario], 3, at_rest=True)
    peak = memory_figure([scenario], 3, at_rest=False)
    assert (rest.measured, rest.lower, rest.upper) == (82e6, 82e6, 82e6)
    assert peak.upper == 100e6
    assert "maximum of 3 fresh processes, no quantile bound: they span 2 MB" in rest.basis
    assert "load 100.0" in peak.basis


def test_a_resident_set_above_the_mark_counts_as_the_peak() -> None:
    peak = memory_figure([remembered((80, 70), (1, 1), (1, 1))], 3, at_rest=False)
    assert peak.upper == 80e6


def test_memory_that_lies_in_swap_proves_nothing() -> None:
    scenario = remembered((80, 90), (80, 90), (80, 90), swap=3_000_000)
    assert "3 MB of the process were in swap" in memory_figure([scenario], 3, at_rest=True).trouble
