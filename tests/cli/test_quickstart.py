"""The whole chain with a tiny model: same code, smaller numbers."""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import tinytx.cli.bench.progress
import tinytx.config
import tinytx.measure.run.bench
from tinytx.cli.main import run
from tinytx.config import Settings
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.policy.scenarios import EndToEnd, FirstToken, NextToken, Scenarios
from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import Report

SMALL = {
    "corpus": {"train_bytes": 150_000, "val_bytes": 15_000},
    "tokenizer": {"vocab_size": 600},
    "model": {
        "layers": 1,
        "width": 32,
        "heads": 2,
        "hidden": 48,
        "max_seq_length": 64,
        "pair_rows": 500,
    },
    "training": {"epochs": 2, "precision": "float32", "compile": "off", "threads": 1},
}
EXIT_CODES = {"PASS": 0, "FAIL": 7, "INVALID": 8}


@dataclass
class Made:
    """What one quickstart wrote, said, and ended with."""

    folder: Path
    said: str
    code: int


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Small numbers for training and measuring."""

    def load(**_: object) -> Settings:
        return tinytx.config.settings_from(SMALL, "the test")

    short = Scenarios(
        next_token=NextToken(contexts=(16,), least_seconds=0),
        first_token=FirstToken(prompts=(16,), samples=4),
        end_to_end=EndToEnd(tokens=8, samples=2),
    )
    patch.setattr(tinytx.config, "load_settings", load)
    patch.setattr(tinytx.measure.run.bench, "load_scenarios", lambda: short)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A first quickstart. Copy its folder before changing it."""
    folder, said = tmp_path_factory.mktemp("quick") / "out", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        shrink(patch)
        code = run(["quickstart", "--output-dir", str(folder)])
    return Made(folder, said.getvalue(), code)


@pytest.fixture
def output(made: Made, tmp_path: Path) -> Path:
    """A copy of what the first quickstart wrote."""
    return Path(shutil.copytree(made.folder, tmp_path / "quick"))


def test_the_first_quickstart_does_everything_and_judges_it(made: Made) -> None:
    report = json.loads((made.folder / "report.json").read_text())
    assert made.code == EXIT_CODES[report["verdict"]]
    assert {row["name"] for row in report["budgets"]} == {
        "rss", "peak_memory", "next_token_p95", "model_size", "training_20_epochs",
    }  # fmt: skip
    for word in ("budget", "limit", "measured", "upper bound", "verdict", "sample"):
        assert word in made.said
    assert "skipped" not in made.said
    assert report["bundle"]["id"] in (made.folder / "report.html").read_text()


def test_the_second_quickstart_skips_everything(
    made: Made, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [output / "best_model.pt", output / "bundle" / "manifest.json"]
    skipped = 4  # corpus, tokenizer, training, export
    if made.code != EXIT_CODES["INVALID"]:  # on a disturbed machine, that is measured again
        files.append(output / "report.json")
        skipped = 5
    written = [path.stat().st_mtime_ns for path in files]
    second_code = run(["quickstart", "--output-dir", str(output)])
    assert capsys.readouterr().err.count("skipped") == skipped
    assert [path.stat().st_mtime_ns for path in files] == written
    if skipped == 5:
        assert second_code == made.code


def test_only_what_was_proven_is_shown_again_without_measuring(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = read_report(output / "report.json")
    (output / "stamps" / "bench.json").unlink(missing_ok=True)
    verdicts = [Verdict.INVALID, Verdict.FAIL]
    asked: list[Any] = []

    def bench(*arguments: Any) -> Report:
        asked.append(arguments)
        return replace(measured, verdict=verdicts[len(asked) - 1])

    monkeypatch.setattr(tinytx.cli.bench.progress, "bench_with_progress", bench)
    counts = []
    for _ in range(3):
        run(["quickstart", "--output-dir", str(output), "--quiet"])
        counts.append(len(asked))
    assert counts == [1, 2, 2]


@pytest.mark.long
def test_a_damaged_bundle_is_made_and_measured_again(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = output / "bundle" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1])
    code = run(["quickstart", "--output-dir", str(output), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == EXIT_CODES[document["report"]["verdict"]]
    assert graph.read_bytes() == whole
