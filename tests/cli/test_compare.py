"""``tinytx compare`` from the outside: output, exit codes, bad input, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tinytx.cli.main import run
from tinytx.measure.machine.facts import observe
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.record import report as reports
from tinytx.measure.record.protocol import Answer
from tinytx.measure.record.report import BundleFacts, ProcessRun, Report, Scenario


def stored(path: Path, nanoseconds: int, threads: int = 1) -> str:
    """A report whose three processes took about so long for a token."""
    machine = observe()
    answers = [Answer(samples_ns=[nanoseconds + i] * 100) for i in range(3)]
    runs = [ProcessRun(answer=answer) for answer in answers]
    report = Report(
        tinytx="0", started_at=path.stem, seconds=1.0, verdict=Verdict.PASS,
        bundle=BundleFacts(id="c0", path="x", files={"model.onnx": 5}, parameters=1,
                           precision="float32", bits_per_byte=1.5),
        budgets=[],
        scenarios=[Scenario(name="next token at 16", kind="next_token", length=16, processes=runs)],
        breaches=[], processor_use=None, before=machine, after=machine,
        settings={"processes": {"per_scenario": 3, "threads": threads}},
    )  # fmt: skip
    reports.write(path, report)
    return str(path)


def test_two_reports_give_a_table_a_sentence_and_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = stored(tmp_path / "a.json", 1_000_000), stored(tmp_path / "b.json", 1_500_000)
    assert run(["compare", a, b]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for words in ("next token at 16, p95", "1.00 ms", "1.50 ms", "+50 %", "slower", "visible from"):
        assert words in err
    assert "B is slower in next token at 16, p10 by 50 % (46 % to 55 %)" in err


def test_json_is_one_document_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = stored(tmp_path / "a.json", 1_000_000), stored(tmp_path / "b.json", 1_000_000)
    assert run(["compare", a, b, "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["mode"]) == (1, "reports")
    assert document["figures"][0]["finding"] == "no difference shown"
    assert len(document["figures"][0]["processes_a"]) == 3
    assert document["overall"].startswith("No difference shown")


def test_what_a_report_says_can_neither_paint_nor_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = Path(stored(tmp_path / "a.json", 1_000_000))
    a.write_text(a.read_text().replace("next token at 16", "[red]x[/nonsense]\\u001b[2J"))
    assert run(["compare", str(a), str(a)]) == 0
    err = capsys.readouterr().err
    assert "[red]x[/nonsense]?[2J," in err
    assert "\x1b" not in err


@pytest.mark.parametrize(("allowed", "code"), [("10", 7), ("60", 0)])
def test_fail_if_slower_ends_with_7_only_when_that_is_proven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], allowed: str, code: int
) -> None:
    a, b = stored(tmp_path / "a.json", 1_000_000), stored(tmp_path / "b.json", 1_500_000)
    assert run(["compare", a, b, "--fail-if-slower", allowed]) == code
    assert ("B is slower than 10 % allows" in capsys.readouterr().err) == (code == 7)
    assert run(["compare", b, a, "--fail-if-slower", allowed]) == 0


def test_different_settings_are_refused_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = stored(tmp_path / "a.json", 1_000_000)
    b = stored(tmp_path / "b.json", 1_000_000, threads=2)
    assert run(["compare", a, b]) == 64
    assert "processes.threads 1 and 2" in capsys.readouterr().err
    assert run(["compare", a, b, "--different-settings"]) == 0
    assert "the settings differ: processes.threads 1 and 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compare", "/nowhere"], 64, "Missing argument 'B'"),
        (["compare", "/nowhere", "/proc"], 64, "/nowhere does not exist"),
        (["compare", "/proc", "/proc/self/stat"], 64, "two reports (files) or two bundles"),
        (["compare", "/proc/self/stat", "/proc/self/stat"], 64, "is not a report"),
        (["compare", "/proc", "/proc"], 9, "manifest.json is missing"),
        (["compare", "/proc", "/proc", "--pairs", "0"], 64, "--pairs"),
        (["compare", "/proc", "/proc", "--time-limit", "-1"], 64, "--time-limit"),
        (["compare", "/proc", "/proc", "--scenarios", "/nowhere"], 64, "cannot read /nowhere"),
        (["compare", "/proc", "/proc", "--different-machines"], 64, "is for reports"),
        (["compare", "/proc/self/stat", "/proc/stat", "--pairs", "9"], 64, "is for measuring"),
        (["compare", "/proc/self/stat", "/proc/stat", "--time-limit", "9"], 64, "--time-limit is"),
        (["compare", "/proc", "/proc", "--fail-if-slower", "x"], 64, "--fail-if-slower"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert run(arguments) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


@pytest.mark.long
def test_a_real_pair_of_bundles_is_compared(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios = tmp_path / "few.toml"
    scenarios.write_text(
        'schema = 1\n[next_token]\ncontexts = ["longest"]\n[first_token]\nprompts = [16]\n'
    )
    arguments = ["compare", str(tiny_bundle), str(tiny_bundle), "--scenarios", str(scenarios)]
    assert run([*arguments, "--pairs", "1", "--json", "--fail-if-slower", "5"]) == 8
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [f["name"] for f in document["figures"]] == [
        *["memory, at rest (RSS)", "memory, peak"],
        *["next token at 48, p10", "next token at 48, median", "next token at 48, p95"],
        *["first token after 16, p10", "first token after 16, median"],
        *["model size", "bits per byte"],
    ]
    assert "1 pair can prove nothing: 11 are needed" in err
    assert "whether B is slower is not known" in err


def test_ctrl_c_ends_with_130_and_leaves_no_worker(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "tinytx.cli.main", "compare", tiny_bundle, tiny_bundle]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    compare = psutil.Process(process.pid)
    workers: list[psutil.Process] = []
    while not workers and process.poll() is None:
        time.sleep(0.02)
        workers = compare.children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in errors
    assert workers
    assert psutil.wait_procs(workers, timeout=5)[1] == []


def test_a_precision_that_a_bundle_lacks_is_refused(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(tiny_bundle)
    assert run(["compare", bundle, bundle, "--precision", "float32", "int4"]) == 64
    assert "holds no int4 model" in capsys.readouterr().err
    assert run(["compare", bundle, bundle, "--precision", "float32", "int5"]) == 64
    assert "--precision" in capsys.readouterr().err
