"""A process that others disturbed is measured once more: on the machine's word, never its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tinytx.measure.machine.conditions import disturbance
from tinytx.measure.machine.facts import Counters
from tinytx.measure.policy.budgets import Row, Verdict, load_budgets
from tinytx.measure.policy.scenarios import Scenarios
from tinytx.measure.record.report import Report
from tinytx.measure.run.bench import BenchSettings, run_bench

Tree = Callable[..., Path]


@pytest.fixture
def policy(quick: Scenarios) -> Scenarios:
    """One context length, so that three processes judge the next token."""
    token = msgspec.structs.replace(quick.next_token, contexts=("longest",))
    return msgspec.structs.replace(quick, next_token=token)


WORKER = """
import json, pathlib, sys
task = json.load(sys.stdin)
root, made = pathlib.Path(ROOT), pathlib.Path(ROOT) / "made"
count = int(made.read_text()) if made.exists() else 0
rest = dict(rss=80_000_000, anonymous=1, proportional=1, swap=0)
memory = dict(interpreter=1, load=90_000_000, prompt=3, decode=4, at_rest=rest, separate=True)
answer = dict(samples_ns=[1_000_000] * task["samples"], tokenise_ns=[1], waited=0.0)
if task["kind"] == "memory":
    answer["memory"] = memory

def stat(busy, idle, stolen):
    line = (root / "proc/stat").read_text().split()
    user, free, taken = int(line[1]) + busy, int(line[4]) + idle, int(line[8]) + stolen
    first = f"cpu  {user} 0 0 {free} 0 0 0 {taken} 0 0"
    (root / "proc/stat").write_text(first + "\\ncpu0 1\\ncpu1 1\\n")

if task["kind"] == "next_token":
    made.write_text(str(count + 1))
    BODY
else:
    OTHER
print(json.dumps(answer))
"""


def bench(
    bundle: Path,
    policy: Scenarios,
    root: Path,
    body: str,
    other: str = "stat(0, 200, 0)",
    time_limit: float = 20.0,
) -> tuple[Report, Row]:
    """A bench whose workers of the next token run ``body``; ``count`` of them ran before."""
    code = WORKER.replace("ROOT", repr(str(root))).replace("BODY", body).replace("OTHER", other)
    settings = BenchSettings(
        scenarios=policy,
        root=root,
        worker=(sys.executable, "-I", "-S", "-c", code),
        time_limit=time_limit,
    )
    report = run_bench(bundle, load_budgets(), settings)
    return report, next(row for row in report.budgets if row.budget.name == "next_token_p95")


def thrown_away(report: Report) -> list[str]:
    return [one.reason for scenario in report.scenarios for one in scenario.discarded]


STOLEN = "the host kept 50% of the processor time for other machines"


def test_one_stolen_process_is_measured_again_and_kept_in_the_report(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    body = "stat(100, 0, 100) if count == 1 else stat(10, 200, 0)"
    report, row = bench(tiny_bundle, policy, tree("vm"), body)
    assert row.verdict is Verdict.PASS
    assert thrown_away(report) == [STOLEN]
    assert f"1 process was disturbed and measured again ({STOLEN})" in row.basis
    judged = [s for s in report.scenarios if s.kind == "next_token"]
    assert [len(s.answers) for s in judged] == [3]
    (kept,) = [one for s in judged for one in s.discarded]
    assert kept.run.answer is not None
    assert len(kept.run.answer.samples_ns) == 128
    assert report.breaches == []


def test_a_host_that_never_stops_stealing_is_met_once_more_and_then_invalid(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    report, row = bench(tiny_bundle, policy, tree("vm"), "stat(100, 0, 100)")
    assert len(thrown_away(report)) == 3
    assert all(len(s.answers) == 3 for s in report.scenarios)
    assert (row.verdict, "the host kept" in row.reason) == (Verdict.INVALID, True)


def test_what_disturbs_more_than_three_processes_is_no_passing_thing(
    tiny_bundle: Path, quick: Scenarios, tree: Tree
) -> None:
    report, row = bench(tiny_bundle, quick, tree("vm"), "stat(100, 0, 100)")
    assert [len(s.discarded) for s in report.scenarios if s.kind == "next_token"] == [2, 1]
    assert all(len(s.answers) == 3 for s in report.scenarios)
    assert row.verdict is Verdict.INVALID


def test_without_time_for_it_nothing_is_repeated(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    report, row = bench(tiny_bundle, policy, tree("vm"), "stat(100, 0, 100)", time_limit=0.001)
    assert thrown_away(report) == []
    assert row.verdict is Verdict.INVALID


def test_what_is_not_judged_by_its_latency_is_not_repeated(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    body, other = "stat(10, 900, 0)", "stat(10, 500, 200)"
    report, row = bench(tiny_bundle, policy, tree("vm"), body, other)
    assert thrown_away(report) == []
    assert (row.verdict, "the host kept" in row.reason) == (Verdict.INVALID, True)


def test_slow_samples_are_no_reason_to_repeat(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    body = "stat(10, 200, 0); answer['samples_ns'] = [300_000_000 if count == 1 else 5] * 128"
    report, row = bench(tiny_bundle, policy, tree("vm"), body)
    assert thrown_away(report) == []
    assert row.verdict is Verdict.FAIL


def test_who_waits_while_nobody_else_runs_is_in_its_own_way(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    report, row = bench(tiny_bundle, policy, tree("vm"), "answer['waited'] = 0.5; stat(0, 300, 0)")
    assert thrown_away(report) == []
    assert (row.verdict, "50% of the time" in row.reason) == (Verdict.INVALID, True)


def test_who_is_stopped_by_its_quota_blames_nobody_else_and_is_not_measured_again(
    tiny_bundle: Path, policy: Scenarios, tree: Tree
) -> None:
    files = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}
    busy = "stat(100, 100, 0); answer['waited'] = 0.5; answer['quota_us'] = 60_000"
    report, row = bench(tiny_bundle, policy, tree("vm", files), busy)
    assert thrown_away(report) == []
    assert row.verdict is Verdict.INVALID
    assert row.reason == "a CPU quota of 0.5 cores throttled it for 0.18 s"
    _, row = bench(
        tiny_bundle, policy, tree("vm", files), "stat(9, 200, 0); answer['quota_us'] = 9"
    )
    assert row.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("elapsed", "waited", "words"),
    [
        (Counters(busy=100, own=100, idle=100), 0.0, ""),
        (Counters(busy=100, own=100, idle=100), 0.9, ""),
        (Counters(busy=180, own=100, idle=20), 0.9, "kept the processor from the bench 90%"),
        (Counters(busy=180, own=100, idle=20), 0.1, ""),
        (Counters(busy=199, own=50, idle=1), 0.0, "left none idle"),
        (Counters(busy=100, own=100, stolen=50, idle=50), 0.0, "the host kept 33%"),
        (Counters(busy=100, own=100, idle=100, swapped_pages=9_999), 0.0, "swapping"),
        (Counters(busy=9, own=1, stolen=50), 0.9, ""),  # too short to tell
    ],
)
def test_only_what_others_did_is_a_disturbance(
    elapsed: Counters, waited: float, words: str
) -> None:
    found = disturbance(elapsed, waited, cores=2)
    assert (words in found) if words else found == ""
