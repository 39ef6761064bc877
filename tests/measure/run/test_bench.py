"""The whole bench: on a real bundle, and with workers and bundles that misbehave."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tinytx.errors import BundleError, PrerequisiteError
from tinytx.measure.policy.budgets import Budget, Quantity, Row, Verdict, load_budgets
from tinytx.measure.policy.devices import load_device
from tinytx.measure.policy.scenarios import Scenarios
from tinytx.measure.record import report as reports
from tinytx.measure.record.reading import parse_report, read_report
from tinytx.measure.record.report import Report, Scenario
from tinytx.measure.run.bench import BenchSettings, Progress, run_bench

Tree = Callable[..., Path]


def rows(report: Report) -> dict[str, tuple[Verdict, str]]:
    return {row.budget.name: (row.verdict, row.reason) for row in report.budgets}


@pytest.fixture(scope="module")
def real(tiny_bundle: Path) -> tuple[Report, list[Progress]]:
    """One real bench with the constitution, and the progress that it told."""
    told: list[Progress] = []
    policy = msgspec.convert(
        {
            "next_token": {"contexts": [16, "longest"], "first_look": 128, "least_seconds": 0},
            "first_token": {"prompts": ["longest"], "samples": 3},
            "end_to_end": {"tokens": 4, "samples": 2},
            "warm_up": {"window": 16, "agreement": 0.9},
        },
        Scenarios,
    )
    settings = BenchSettings(scenarios=policy, time_limit=60)
    return run_bench(tiny_bundle, load_budgets(), settings, told.append), told


def test_memory_and_size_of_a_real_bundle_pass(
    real: tuple[Report, list[Progress]], tiny_bundle: Path
) -> None:
    report, _ = real
    verdicts = rows(report)
    assert verdicts["model_size"] == (Verdict.PASS, "")
    size = next(row.measured for row in report.budgets if row.budget.name == "model_size")
    assert size == Quantity((tiny_bundle / "model.onnx").stat().st_size / 1e6, "MB")
    if not report.before.emulation:
        assert verdicts["rss"] == verdicts["peak_memory"] == (Verdict.PASS, "")
    assert verdicts["training_20_epochs"][0] in (Verdict.PASS, Verdict.INVALID)


def test_each_scenario_ran_in_three_processes_and_kept_its_raw_samples(
    real: tuple[Report, list[Progress]],
) -> None:
    report, told = real
    assert [s.name for s in report.scenarios] == [
        "memory",
        "next token at 16",
        "next token at 48",
        "first token after 47",
        "end to end, 4 tokens",
    ]
    assert all(len(s.answers) == 3 and not s.troubles for s in report.scenarios)
    counts = [len(a.samples_ns) for s in report.scenarios for a in s.answers]
    assert counts[0] == 0 and min(counts[3:9]) >= 128
    again = sum(len(s.discarded) for s in report.scenarios)  # on a busy machine
    assert [p.done for p in told] == list(range(15 + again + 1))
    assert len(report.during) == 15 + again


def test_the_report_is_json_with_every_figure_in_its_unit(
    real: tuple[Report, list[Progress]], tiny_bundle: Path, tmp_path: Path
) -> None:
    report, _ = real
    reports.write(tmp_path / "new" / "report.json", report)
    document = json.loads((tmp_path / "new" / "report.json").read_text())
    assert document["schema"] == 1
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    assert document["bundle"]["id"] == manifest["id"]
    by_name = {row["name"]: row for row in document["budgets"]}
    token = by_name["next_token_p95"]
    assert (token["unit"], token["limit"]) == ("ms", 250.0)
    judged = [s for s in document["scenarios"] if s["kind"] == "next_token"]
    raw = [process["answer"]["samples_ns"] for s in judged for process in s["processes"]]
    worst = max(sorted(samples)[-(-len(samples) * 95 // 100) - 1] for samples in raw)
    assert token["measured"] == pytest.approx(worst / 1e6)
    assert document["machine"]["before"]["usable_cores"] >= 1
    assert document["verdict"] in ("PASS", "FAIL", "INVALID")


FAKE = """
import json, sys
task = json.load(sys.stdin)
rest = dict(rss=80_000_000, anonymous=1, proportional=1, swap=0)
memory = dict(interpreter=1, load=90_000_000, prompt=3, decode=4, at_rest=rest, separate=True)
answer = dict(load_ns=5, samples_ns=[1_000_000] * task["samples"], tokenise_ns=[1])
if task["kind"] == "memory":
    answer["memory"] = memory
BODY
print(json.dumps(answer))
"""


def fake(body: str = "") -> tuple[str, ...]:
    return (sys.executable, "-c", FAKE.replace("BODY", body))


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def bench(
    bundle: Path,
    quick: Scenarios,
    tree: Tree,
    body: str = "",
    name: str = "vm",
    patience: float = 10.0,
) -> Report:
    settings = BenchSettings(
        scenarios=quick, root=tree(name), worker=fake(body), patience=patience, time_limit=2.0
    )
    return run_bench(bundle, load_budgets(), settings)


MEASURED = {"rss", "peak_memory", "next_token_p95"}


def test_on_a_calm_machine_everything_that_is_measured_passes(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    report = bench(copy, quick, tree)
    assert {name for name, (verdict, _) in rows(report).items() if verdict is Verdict.PASS} >= (
        MEASURED
    )


def test_a_named_device_labels_the_rows_and_changes_no_verdict(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    settings = BenchSettings(
        scenarios=quick,
        root=tree("vm"),
        worker=fake(),
        time_limit=2.0,
        device=load_device("pi-zero-2w"),
    )
    report = run_bench(copy, load_budgets(), settings)
    by_name = {row.budget.name: row for row in report.budgets}
    assert by_name["next_token_p95"].verdict is Verdict.PASS
    label = "this is the latency of AMD EPYC, not of the Raspberry Pi Zero 2 W"
    assert by_name["next_token_p95"].basis.endswith(label)
    assert report.device is not None
    assert any("512 MB for peak memory is more than" in line for line in report.device.warnings)
    document = json.loads(json.dumps(reports.document(report)))
    assert document["device"]["device"]["memory_bytes"] == 1 << 29
    assert parse_report(json.dumps(document).encode(), "r.json").device == report.device


def test_under_emulation_latency_and_memory_are_invalid_and_size_is_not(
    copy: Path, quick: Scenarios, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    verdicts = rows(bench(copy, quick, tree, name="qemu"))
    assert {n for n, (_, reason) in verdicts.items() if "is emulated" in reason} == MEASURED
    assert verdicts["model_size"][0] is Verdict.PASS


@pytest.mark.parametrize(
    ("body", "reason", "touched"),
    [
        ("if answer.get('memory'): raise ValueError('boom')", "boom", {"rss", "peak_memory"}),
        ("if 'memory' in answer: import os; os.kill(0, 9)", "signal 9", {"rss", "peak_memory"}),
        ("if task['kind'] == 'next_token': sys.exit(3)", "ended with code 3", {"next_token_p95"}),
        ("if task['looks']: answer['settled'] = False", "did not settle", {"next_token_p95"}),
    ],
)
def test_a_failing_worker_makes_its_own_budgets_invalid(
    copy: Path, quick: Scenarios, tree: Tree, body: str, reason: str, touched: set[str]
) -> None:
    verdicts = rows(bench(copy, quick, tree, body))
    assert list(verdicts) == [budget.name for budget in load_budgets()]
    assert {name for name, (_, why) in verdicts.items() if reason in why} == touched
    assert all(verdicts[name][0] is Verdict.INVALID for name in touched)
    assert verdicts["model_size"][0] is Verdict.PASS


V2 = {
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/cgroup.controllers": "memory\n",
    "sys/fs/cgroup/cgroup.subtree_control": "memory\n",
    "sys/fs/cgroup/cgroup.procs": "",
}
DEATH = """
import glob, os
group = glob.glob("ROOT/sys/fs/cgroup/tinytx-*")[0]
open(group + "/memory.events", "w").write("max 3\\noom_kill 1\\n")
os.kill(os.getpid(), 9)
"""


def test_a_limit_is_proven_before_workers_run_in_it_and_one_that_dies_of_it_fails_the_peak(
    copy: Path, quick: Scenarios, tree: Tree, kernel: None
) -> None:
    root = tree("vm", V2)
    death = DEATH.replace("ROOT", str(root))
    body = f"if task['kind'] == 'memory': exec({death!r})"
    settings = BenchSettings(
        scenarios=quick, root=root, worker=fake(body), time_limit=2.0,
        canary=(sys.executable, "-c", f"print(5, flush=True); exec({death!r})"),
    )  # fmt: skip
    report = run_bench(copy, load_budgets(), settings)
    assert report.limit is not None
    assert (report.limit.enforced, report.limit.limit) == (True, 512_000_000)
    verdict, reason = rows(report)["peak_memory"]
    assert verdict is Verdict.FAIL
    assert reason == "process 1 of 3 was killed by the kernel at the limit of 512 MB"
    assert rows(report)["rss"][0] is Verdict.INVALID
    assert [budget.name for budget in load_budgets()] == list(rows(report))
    assert not list(root.rglob("tinytx-*"))


def test_a_limit_that_cannot_be_enforced_is_told_and_changes_no_verdict(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    report = bench(copy, quick, tree)
    assert report.limit is not None
    assert not report.limit.enforced
    assert "no control groups" in report.limit.reason
    assert rows(report)["peak_memory"][0] is Verdict.PASS


def test_the_attribution_comes_when_asked_for_and_its_trouble_is_told(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    assert bench(copy, quick, tree).attribution is None
    settings = BenchSettings(
        scenarios=quick, root=tree("vm"), worker=fake(), time_limit=2.0, why=True,
        staged=(sys.executable, "-c", "import sys; sys.exit(3)"),
    )  # fmt: skip
    report = run_bench(copy, load_budgets(), settings)
    assert report.attribution is not None
    assert "ended with code 3" in report.attribution.trouble
    assert rows(report)["rss"][0] is Verdict.PASS
    reports.write(copy.parent / "report.json", report)
    again = read_report(copy.parent / "report.json")
    assert (again.attribution, again.limit) == (report.attribution, report.limit)


def test_when_workers_hang_the_bench_gives_up_early_and_says_so(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    report = bench(copy, quick, tree, "import time; time.sleep(60)", patience=0.5)
    troubles = [trouble for s in report.scenarios for trouble in s.troubles]
    assert len(troubles) == len(report.scenarios)
    assert sum("hung: no answer" in trouble for trouble in troubles) == 2
    assert report.verdict is Verdict.INVALID


def test_a_slow_bundle_fails(copy: Path, quick: Scenarios, tree: Tree) -> None:
    body = "answer['samples_ns'] = [300_000_000] * task['samples']"
    verdict, reason = rows(bench(copy, quick, tree, body))["next_token_p95"]
    assert (verdict, reason) == (Verdict.FAIL, "300 ms is over the limit")


def test_a_bundle_that_changes_while_it_is_measured_is_refused(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    change = f"open({str(copy / 'golden.json')!r}, 'a').write(' ')"
    with pytest.raises(BundleError, match="changed while it was measured"):
        bench(copy, quick, tree, change)


def test_a_damaged_bundle_is_refused_before_anything_runs(
    copy: Path, quick: Scenarios, tree: Tree
) -> None:
    (copy / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="damaged"):
        bench(copy, quick, tree, "raise AssertionError")


def test_without_proc_there_is_a_clear_message(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="cannot be observed"):
        run_bench(copy, load_budgets(), BenchSettings(root=tmp_path))


def test_the_verdict_of_all_is_the_worst() -> None:
    def row(verdict: Verdict) -> Row:
        return Row(budget=Budget("rss", Quantity(1, "MB")), verdict=verdict)

    good, bad, open_ = (row(v) for v in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID))
    assert reports.overall([good, good]) is Verdict.PASS
    assert reports.overall([good, open_]) is Verdict.INVALID
    assert reports.overall([open_, bad, good]) is Verdict.FAIL


def test_scenarios_name_their_troubles() -> None:
    run = reports.ProcessRun(trouble="it hung")
    scenario = Scenario(name="memory", kind="memory", length=1, processes=[run])
    assert scenario.troubles == ["memory: it hung"]


def test_a_bench_that_must_stop_stops_and_says_what_it_left_out(
    tiny_bundle: Path, quick: Scenarios
) -> None:
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    settings = BenchSettings(
        scenarios=quick, worker=sleeps, stop_after=0.3, latency_first=True, time_limit=1.0
    )
    began = time.monotonic()
    report = run_bench(tiny_bundle, load_budgets(), settings)
    assert time.monotonic() - began < 30.0  # of 15 processes that take a minute each
    troubles = [s.troubles for s in report.scenarios]
    assert all(len(one) == 1 for one in troubles)
    assert "hung" in troubles[1][0] and troubles[0][0] == "memory: not run: the time was up"
    assert rows(report)["rss"][0] is rows(report)["next_token_p95"][0] is Verdict.INVALID


def test_what_a_scenario_file_leaves_out_is_not_measured(
    tiny_bundle: Path, quick: Scenarios
) -> None:
    fails = (sys.executable, "-c", "raise SystemExit(3)")
    none = msgspec.structs.replace(
        quick,
        first_token=msgspec.structs.replace(quick.first_token, prompts=()),
        end_to_end=msgspec.structs.replace(quick.end_to_end, samples=0),
    )
    report = run_bench(tiny_bundle, load_budgets(), BenchSettings(scenarios=none, worker=fails))
    assert {s.kind for s in report.scenarios} == {"memory", "next_token"}
