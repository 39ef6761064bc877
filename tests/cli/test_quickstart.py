"""The whole chain with a tiny model: same code, smaller numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import tinytx.cli.bench
import tinytx.config
import tinytx.measure.bench
from tinytx.cli.main import run
from tinytx.config import Settings
from tinytx.measure.budgets import Verdict
from tinytx.measure.report import Report
from tinytx.measure.scenarios import EndToEnd, FirstToken, NextToken, Scenarios

SMALL = {
    "corpus": {"train_bytes": 150_000, "val_bytes": 15_000},
    "tokenizer": {"vocab_size": 600},
    "model": {"layers": 1, "width": 32, "heads": 2, "hidden": 48, "max_seq_length": 64},
    "training": {"epochs": 2, "precision": "float32", "compile": "off", "threads": 1},
}
EXIT_CODES = {"PASS": 0, "FAIL": 7, "INVALID": 8}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(**_: object) -> Settings:
        return tinytx.config.settings_from(SMALL, "the test")

    short = Scenarios(
        next_token=NextToken(contexts=(16,), least_seconds=0),
        first_token=FirstToken(prompts=(16,), samples=4),
        end_to_end=EndToEnd(tokens=8, samples=2),
    )
    monkeypatch.setattr(tinytx.config, "load_settings", load)
    monkeypatch.setattr(tinytx.measure.bench, "load_scenarios", lambda: short)


@pytest.mark.usefixtures("small")
def test_quickstart_does_everything_once_and_the_second_run_skips_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "quick"
    code = run(["quickstart", "--output-dir", str(output)])
    first = capsys.readouterr().err
    report = json.loads((output / "report.json").read_text())
    assert code == EXIT_CODES[report["verdict"]]
    assert {row["name"] for row in report["budgets"]} == {
        "rss", "peak_memory", "next_token_p95", "model_size", "training_20_epochs",
    }  # fmt: skip
    for word in ("budget", "limit", "measured", "upper bound", "verdict", "sample"):
        assert word in first
    assert "skipped" not in first
    assert report["bundle"]["id"] in (output / "report.html").read_text()

    files = [output / "best_model.pt", output / "bundle" / "manifest.json"]
    skipped = 4  # corpus, tokenizer, training, export
    if code != EXIT_CODES["INVALID"]:  # on a disturbed machine, that is measured again
        files.append(output / "report.json")
        skipped = 5
    written = [path.stat().st_mtime_ns for path in files]
    second_code = run(["quickstart", "--output-dir", str(output)])
    assert capsys.readouterr().err.count("skipped") == skipped
    assert [path.stat().st_mtime_ns for path in files] == written
    if skipped == 5:
        assert second_code == code


@pytest.mark.usefixtures("small")
def test_only_what_was_proven_is_shown_again_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, reports = tinytx.cli.bench.bench_with_progress, []
    verdicts = [Verdict.INVALID, Verdict.FAIL]

    def bench(*arguments: Any) -> Report:
        made = reports[0] if reports else real(*arguments)
        reports.append(replace(made, verdict=verdicts[len(reports)]))
        return reports[-1]

    monkeypatch.setattr(tinytx.cli.bench, "bench_with_progress", bench)
    measured = []
    for _ in range(3):
        run(["quickstart", "--output-dir", str(tmp_path / "quick"), "--quiet"])
        measured.append(len(reports))
    assert measured == [1, 2, 2]


@pytest.mark.usefixtures("small")
def test_a_damaged_bundle_is_made_and_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "quick"
    run(["quickstart", "--output-dir", str(output), "--quiet"])
    graph = output / "bundle" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1])
    capsys.readouterr()
    code = run(["quickstart", "--output-dir", str(output), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == EXIT_CODES[document["report"]["verdict"]]
    assert graph.read_bytes() == whole
