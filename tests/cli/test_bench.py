"""``tinytx bench`` from the outside: output, exit codes, bad input, Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tinytx.cli.bench import progress
from tinytx.cli.bench.once import bench_once
from tinytx.cli.common import console
from tinytx.cli.main import run
from tinytx.cli.verdicts import ending
from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.machine.facts import observe
from tinytx.measure.memory.attribution import Attribution, Part
from tinytx.measure.policy.budgets import Budget, Figure, judge
from tinytx.measure.policy.devices import standing
from tinytx.measure.policy.scenarios import FirstToken, NextToken, Scenarios
from tinytx.measure.record.report import BundleFacts, Report, overall
from tinytx.measure.run import bench as benches
from tinytx.measure.run.bench import BenchSettings
from tinytx.workspace import Workspace

FIGURES = {
    "rss": Figure(measured=80e6, lower=80e6, upper=80e6, basis="by hand"),
    "next_token_p95": Figure(measured=4e6, lower=3e6, upper=5e6),
    "model_size": Figure(measured=9e6, lower=9e6, upper=9e6),
}


def pretend(bundle: Path, budgets: list[Budget], *rest: object) -> Report:
    """A bench that measured the figures above."""
    rows = [judge(budget, FIGURES[budget.name]) for budget in budgets]
    machine = observe()
    facts = BundleFacts(
        id="c0ffee" * 8, path=str(bundle), files={}, parameters=1, precision="float32",
        bits_per_byte=1.0,
    )  # fmt: skip
    return Report(
        tinytx="0", started_at="", seconds=1.0, verdict=overall(rows), bundle=facts, budgets=rows,
        scenarios=[], breaches=[], processor_use=None, before=machine, after=machine, settings={},
    )  # fmt: skip


def limits(folder: Path, token_ms: int, megabytes: int = 100) -> str:
    path = folder / "mine.toml"
    path.write_text(
        f'schema = 1\n[budget.rss]\nat_most = {megabytes}\nunit = "MB"\n'
        f'[budget.next_token_p95]\nat_most = {token_ms}\nunit = "ms"\n'
    )
    return str(path)


@pytest.mark.parametrize(
    ("token_ms", "megabytes", "code", "words"),
    [
        (5, 100, 0, "PASS"),
        (4, 100, 8, "INVALID next token, p95: not proven"),
        (2, 100, 7, "FAIL next token, p95: 3 ms is over the limit"),
        (4, 70, 7, "FAIL memory at rest (RSS): 80 MB is over the limit"),
    ],
)
def test_exit_codes_and_the_table(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token_ms: int,
    megabytes: int,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr(benches, "run_bench", pretend)
    assert run(["bench", "x", "--budgets", limits(tmp_path, token_ms, megabytes)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    for word in ("limit", "measured", "upper bound", "verdict", "c0ffeec0ffee", "80 MB", "by hand"):
        assert word in err


def test_json_goes_to_stdout_and_into_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benches, "run_bench", pretend)
    report = tmp_path / "deep" / "report.json"
    arguments = ["bench", "x", "--budgets", limits(tmp_path, 2), "--report", str(report)]
    assert run([*arguments, "--json", "--quiet"]) == 7
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document == json.loads(report.read_text())
    assert [row["verdict"] for row in document["budgets"]] == ["PASS", "FAIL"]
    assert "by hand" not in err
    assert "FAIL" in err


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (
            LimitProof(True, 512_000_000, "control group, version 2", "", "killed by the kernel"),
            "512 MB by control group, version 2, no swap; canary killed by the kernel",
        ),
        (
            LimitProof(False, 512_000_000, "", "the memory controller is off", "", "reboot"),
            "512 MB could not be enforced by the bench: the memory controller is off -> reboot",
        ),
    ],
)
def test_the_limit_and_the_attribution_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    proof: LimitProof,
    words: str,
) -> None:
    parts = [Part("weights", 30_000_000, "fewer [red] layers"), Part("not explained", 9, "none")]
    attribution = Attribution(30_000_009, parts, 10_000_000, 1.5, [])

    def explained(bundle: Path, budgets: list[Budget], settings: BenchSettings) -> Report:
        found = attribution if settings.why else None
        report = pretend(bundle, budgets)
        return msgspec.structs.replace(report, limit=proof, attribution=found)

    monkeypatch.setattr(benches, "run_bench", explained)
    arguments = ["bench", "x", "--budgets", limits(tmp_path, 5)]
    assert run([*arguments, "--why"]) == 0
    err = capsys.readouterr().err
    for text in (words, "weights", "30.00", "100.0%", "fewer [red] layers", "held 1.50 times"):
        assert text in err
    assert run(arguments) == 0
    assert "weights" not in capsys.readouterr().err


def test_an_attribution_that_failed_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(bundle: Path, budgets: list[Budget], settings: BenchSettings) -> Report:
        missing = Attribution.missing("its worker process hung")
        return msgspec.structs.replace(pretend(bundle, budgets), attribution=missing)

    monkeypatch.setattr(benches, "run_bench", failed)
    assert run(["bench", "x", "--why", "--budgets", limits(tmp_path, 5)]) == 0
    assert "no attribution of memory: its worker process hung" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["bench"], 64, "BUNDLE"),
        (["bench", "/nowhere"], 9, "/nowhere is not a bundle"),
        (["bench", "/proc"], 9, "manifest.json is missing"),
        (["bench", "/proc/self/stat"], 9, "not a bundle"),
        (["bench", "x", "--budgets", "/nowhere"], 64, "No such file"),
        (["bench", "x", "--report", "/proc/r.json"], 64, "cannot write --report /proc/r.json"),
        (["bench", "x", "--html", "/proc/r.html"], 64, "cannot write --html /proc/r.html"),
        (["bench", "x", "--markdown", "x/r.md"], 64, "inside the bundle"),
        (["bench", "x", "--markdown", "-"], 64, "--markdown needs the name of a file"),
        (["bench", "x", "--markdown", "/t", "--html", "/t"], 64, "also the file of --markdown"),
        (["bench", "x", "--threads", "0"], 64, "--threads"),
        (["bench", "x", "--time-limit", "-1"], 64, "--time-limit"),
        (["bench", "x", "--bugdets", "f"], 64, "--budgets"),
        (["bench", "x", "--budgets", "strech"], 64, "did you mean 'stretch'?"),
        (["bench", "x", "--device", "pi4"], 64, "did you mean 'pi-4'?"),
        (["bench", "x", "--scenarios", "/nowhere"], 64, "cannot read /nowhere"),
        (["bench", "x", "--image", "mine"], 64, "--image goes with --container only"),
        (["bench", "/nowhere", "--container"], 9, "/nowhere is not a bundle"),
        (["bench", "--history", "x", "--container"], 64, "--container does not go with --history"),
        (["bench", "--history", "x", "--image", "y"], 64, "--image does not go with --history"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert run(arguments) == code
    assert words in capsys.readouterr().err


def test_the_pages_are_written_beside_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benches, "run_bench", pretend)
    page, text, stored = (tmp_path / name for name in ("r.html", "r.md", "r.json"))
    arguments = ["bench", "x", "--budgets", limits(tmp_path, 2), "--html", str(page)]
    assert run([*arguments, "--markdown", str(text), "--report", str(stored), "--quiet"]) == 7
    assert "<h1>" in page.read_text()
    assert "❌ FAIL" in text.read_text()
    capsys.readouterr()
    assert run(["report", str(stored)]) == 0
    assert "FAIL next token, p95: 3 ms is over the limit" in capsys.readouterr().err


def test_the_device_is_described_and_scenarios_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[benches.BenchSettings] = []

    def measured(bundle: Path, budgets: list[Budget], settings: benches.BenchSettings) -> Report:
        taken.append(settings)
        assert settings.device is not None
        found = standing(settings.device, observe(), budgets, threads=1)
        return msgspec.structs.replace(pretend(bundle, budgets), device=found)

    monkeypatch.setattr(benches, "run_bench", measured)
    (tmp_path / "few.toml").write_text("[next_token]\nfirst_look = 90\n")
    arguments = ["bench", "x", "--scenarios", str(tmp_path / "few.toml"), "--device", "pi-5"]
    assert run([*arguments, "--budgets", limits(tmp_path, 5), "--json"]) == 0
    out, err = capsys.readouterr()
    assert taken[0].scenarios is not None
    assert taken[0].scenarios.next_token.first_look == 90
    assert "Raspberry Pi 5: 4 x Cortex-A76 at 2,400 MHz" in err
    assert "this machine is not one" in err
    assert json.loads(out)["device"]["device"]["cores"] == 4


@pytest.mark.parametrize(
    ("token_ms", "code", "words"),
    [
        (5, 64, "tinytx: cannot write"),
        (4, 8, "tinytx: not proven: next token, p95; and cannot write"),
        (2, 7, "tinytx: over budget: next token, p95; and cannot write"),
    ],
)
def test_a_disk_that_fills_while_measuring_takes_no_verdict_away(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token_ms: int,
    code: int,
    words: str,
) -> None:
    page = tmp_path / "gone" / "r.html"

    def bench(*arguments: Any) -> Report:
        page.parent.rmdir()
        page.parent.touch()
        return pretend(*arguments)

    monkeypatch.setattr(benches, "run_bench", bench)
    arguments = ["bench", "x", "--budgets", limits(tmp_path, token_ms), "--html", str(page)]
    assert run(arguments) == code
    err = capsys.readouterr().err
    assert "verdict" in err
    assert f"{words} {page}" in err


def test_quickstart_keeps_a_report_that_could_not_be_written_and_says_why(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run, tmp_path / "out")
    (tmp_path / "out" / "report.json" / "in the way").mkdir(parents=True)
    measured = pretend(tmp_path, [])
    monkeypatch.setattr(progress, "bench_with_progress", lambda *_: measured)
    report, unwritten = bench_once(Workspace(tmp_path / "out"), console(quiet=True))
    assert report is measured
    assert unwritten is not None
    assert unwritten.message.startswith("cannot write the report to ")
    assert ending(report, unwritten) is unwritten


def test_ctrl_c_ends_with_130_and_leaves_no_worker(tiny_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tinytx.cli.main", "bench", tiny_bundle, "--report", report]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    bench = psutil.Process(process.pid)
    workers: list[psutil.Process] = []
    while not workers and process.poll() is None:
        time.sleep(0.02)
        workers = bench.children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in errors
    assert workers
    assert not list(Path("/sys/fs/cgroup").rglob(f"tinytx-{process.pid}-*"))
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_a_real_bench_with_a_generous_budget_passes(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = Scenarios(
        next_token=NextToken(contexts=("longest",)), first_token=FirstToken(prompts=(16,))
    )
    monkeypatch.setattr(benches, "load_scenarios", lambda: few)
    budgets = tmp_path / "size.toml"
    budgets.write_text('schema = 1\n[budget.model_size]\nunder = 10\nunit = "MB"\n')
    arguments = ["bench", str(tiny_bundle), "--budgets", str(budgets), "--time-limit", "1"]
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "PASS"
    kinds = {scenario["kind"] for scenario in document["scenarios"]}
    assert kinds == {"memory", "next_token", "first_token", "end_to_end"}
