"""From answers of workers to rows: the worst counts, and nothing is ever missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure import stats
from tinytx.measure.limits.groups import GroupUse
from tinytx.measure.memory.process import Resident
from tinytx.measure.policy.budgets import Budget, Quantity, Verdict, judge
from tinytx.measure.policy.scenarios import NextToken, Scenarios
from tinytx.measure.record.protocol import Answer, Phases
from tinytx.measure.record.report import ProcessRun, Scenario
from tinytx.measure.verdict.judging import latency_figure, memory_figure

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
    assert figure.unproven.endswith("a longer --time-limit adds more")


def test_more_time_is_not_advised_to_who_has_all_the_steps_that_the_scenarios_allow() -> None:
    policy = Scenarios(next_token=NextToken(first_look=16, least_seconds=0, most=20))
    figure = latency_figure([timed([10] * 20, [10] * 20, [10] * 20)], policy)
    assert figure.unproven == (
        "next token at 16: 20 steps, worth 20 independent ones, were too few to decide; "
        "it had all of next_token.most = 20 steps: only --scenarios allows more"
    )


@pytest.mark.parametrize("most", [256, 257])
def test_open_bounds_are_narrowed_by_time_only_where_a_process_may_have_more_steps(
    most: int,
) -> None:
    policy = Scenarios(next_token=NextToken(first_look=128, least_seconds=0, most=most))
    scattered = [(i * 7919) % 1000 for i in range(256)]
    figure = latency_figure([timed(scattered, scattered, scattered)], policy)
    assert figure.unproven.startswith("the limit lies between the bounds; ")
    assert ("--time-limit" in figure.unproven) == (most > 256)
    assert ("--scenarios" in figure.unproven) == (most == 256)


def test_one_step_is_one_step() -> None:
    figure = latency_figure([timed([10], [10], [10])], POLICY)
    assert "at 16: 1 step, worth" in figure.unproven


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


def grouped(*uses: GroupUse, marked: bool = True, killed: bool = False) -> Scenario:
    """Memory processes of 90 MB at their peak, in groups of their own; the last one killed."""
    runs = []
    for use in uses:
        at_rest = Resident(80_000_000, 1, 1, 0)
        phases = Phases(
            interpreter=1, load=90_000_000 if marked else 0, prompt=2, decode=3,
            at_rest=at_rest, separate=True, marked=marked,
        )  # fmt: skip
        runs.append(ProcessRun(answer=Answer(memory=phases), group=use))
    if killed:
        runs[-1] = ProcessRun(trouble="its worker process was killed", group=uses[-1])
    return Scenario(name="memory", kind="memory", length=48, processes=runs)


PEAK = Budget("peak_memory", Quantity(100, "MB"))
CALM = GroupUse(40_000_000, 100_003_840, 0, 0)
KILLED = GroupUse(100_003_840, 100_003_840, 3, 1)


def test_a_process_killed_at_the_limit_fails_the_peak_budget_and_is_named() -> None:
    scenario = grouped(CALM, KILLED, killed=True)
    row = judge(PEAK, memory_figure([scenario], 3, at_rest=False))
    assert row.verdict is Verdict.FAIL
    assert row.reason == "process 2 of 3 was killed by the kernel at the limit of 100 MB"
    assert "shown to bite by a canary" in row.basis
    rest = judge(Budget("rss", Quantity(100, "MB")), memory_figure([scenario], 3, at_rest=True))
    assert rest.verdict is Verdict.INVALID
    assert "was killed" in rest.reason


def test_a_process_killed_far_below_its_limit_proves_nothing_about_the_budget() -> None:
    elsewhere = GroupUse(40_000_000, 100_003_840, 0, 1)  # all memory of the machine ran out
    row = judge(PEAK, memory_figure([grouped(CALM, elsewhere, killed=True)], 3, at_rest=False))
    assert row.verdict is Verdict.INVALID


def test_a_process_that_lived_at_its_limit_has_no_true_peak() -> None:
    squeezed = GroupUse(100_003_840, 100_003_840, 7, 0)
    row = judge(PEAK, memory_figure([grouped(CALM, CALM, squeezed)], 3, at_rest=False))
    assert row.verdict is Verdict.INVALID
    assert "its peak is cut off" in row.reason


def test_the_group_s_peak_is_a_second_opinion_beside_the_high_water_mark() -> None:
    figure = memory_figure([grouped(CALM, CALM, CALM)], 3, at_rest=False)
    assert figure.upper == 90e6
    assert "load 90.0" in figure.basis
    assert "control group's peak 40.0" in figure.basis


def test_without_high_water_marks_the_group_s_peak_is_judged_but_never_below_the_resident_set() -> (
    None
):
    high = GroupUse(95_000_000, 100_003_840, 0, 0)
    figure = memory_figure([grouped(CALM, CALM, high, marked=False)], 3, at_rest=False)
    assert figure.upper == 95e6
    assert "peak of the control group (no VmHWM here)" in figure.basis
    low = memory_figure([grouped(CALM, CALM, CALM, marked=False)], 3, at_rest=False)
    assert low.upper == 80e6


def test_without_high_water_marks_and_groups_the_peak_was_not_measured() -> None:
    unseen = GroupUse(None, None, 0, 0)
    row = judge(PEAK, memory_figure([grouped(unseen, unseen, unseen, marked=False)], 3, False))
    assert row.verdict is Verdict.INVALID
    assert "keeps no high-water mark" in row.reason
