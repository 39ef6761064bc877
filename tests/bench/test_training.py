"""The benchmark of training: what it runs is timed and watched, its table says what was found."""

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tinytx.config import load_settings

BENCH = Path(__file__).parents[2] / "bench"
NAMES = ("fresh", "plain_training", "our_training", "training_figures", "training")
HOLD = "x = bytearray(b'x') * {}\nprint('held', flush=True)\n"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules, as they import each other."""
    sys.path.insert(0, str(BENCH))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(BENCH))
    for name in NAMES:
        sys.modules.pop(name, None)


def test_a_run_is_watched_with_its_children(scripts: dict[str, ModuleType]) -> None:
    child = HOLD.format(60_000_000) + "import time\ntime.sleep(0.5)"
    code = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\nprint('end')"
    )
    found = scripts["fresh"].run([sys.executable, "-c", code])
    assert found.code == 0
    assert [line for _, line in found.lines] == ["held", "end"]
    assert found.lines[0][0] <= found.lines[1][0] <= found.seconds + 1
    assert found.tree_peak_bytes >= 60_000_000 > found.peak_bytes > 1_000_000
    assert found.processes == 2


def test_a_run_that_fails_ends_the_benchmark_with_its_words(
    scripts: dict[str, ModuleType],
) -> None:
    found = scripts["fresh"].run([sys.executable, "-c", "raise SystemExit('no text')"])
    with pytest.raises(SystemExit, match="ended with 1:\nno text"):
        scripts["training_figures"].checked(found)


@pytest.mark.long
def test_both_loops_take_steps_of_a_tiny_model(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    tiny = {"vocabulary": 64, "layers": 1, "width": 16, "heads": 1, "batch": 2, "length": 8}
    plain = scripts["plain_training"].steps(argparse.Namespace(**tiny, seconds=0.0))
    assert len(plain) == 3
    assert all(seconds > 0 for seconds in plain)
    changes = {"vocab_size": 300, "layers": 1, "width": 16, "heads": 1, "hidden": 16}
    changes["pair_rows"] = 30
    settings = load_settings(
        flags={"tokenizer.vocab_size": changes.pop("vocab_size")}
        | {f"model.{key}": value for key, value in changes.items()}
        | {"training.compile": "off", "training.precision": "float32", "training.threads": 1}
    )
    ours = scripts["our_training"].measure(settings, 0.0, tmp_path / "out")
    assert len(ours["tokens_per_second"]) >= 3
    assert ours["compiled"] is False


def test_the_sizes_are_settings_and_the_models_about_as_large(
    scripts: dict[str, ModuleType],
) -> None:
    settings = load_settings(flags=dict(scripts["training_figures"].SIZES))
    plain = scripts["plain_training"].Model(4_096, 6, 128, 4, 128)
    size = sum(parameter.numel() for parameter in plain.parameters())
    model, rows = settings.model, settings.tokenizer.vocab_size
    looked_up = model.layers * rows * model.width  # the blocks' tables take part in no product
    assert settings.parameters - looked_up == pytest.approx(size, rel=0.02)


def test_the_table_tells_ratio_and_range_start_memory_and_verdict(
    scripts: dict[str, ModuleType],
) -> None:
    medians = {"ours": 30_000.0, "plain": 10_000.0}
    memory = {"tree_peak_bytes": 4e8, "peak_bytes": 3e8, "processes": 2}
    lines = scripts["training"].table(
        {
            "speed": {
                "medians": medians,
                "ratios": [2.9, 3.2],
                "ratio": 3.0,
                "precision": "bfloat16",
                "compiled": True,
            },
            "start": {"first": 40.0, "second": 6.5},
            "memory": {"low-memory": memory},
            "beside": {"medians": {"quiet": 100_000.0, "busy": 45_000.0}, "ratio": 0.45},
            "large": {
                "bytes": 1.001e9,
                "seconds": 91.0,
                "peak_bytes": 5.4e8,
                "tree_peak_bytes": 5.6e8,
            },
            "held": {
                "seconds": 400.0,
                "epochs": 20,
                "parameters": 2_000_000,
                "bits_per_byte": 1.65,
                "best_epoch": 19,
                "tree_peak_bytes": 5e8,
                "budgets": [{"name": "training_20_epochs", "verdict": "INVALID"}],
            },
            "full": {
                "epochs": 20,
                "parameters": 4_000_000,
                "seconds": 500.0,
                "bits_per_byte": 1.5,
                "best_epoch": 20,
                "tree_peak_bytes": 5.5e8,
                "budgets": [{"name": "training_20_epochs", "verdict": "PASS"}],
            },
        }
    )
    told = "\n".join(lines)
    assert "ratio: 3.00 (2.90 to 3.20)" in told
    assert "second start: 6.5 s" in told
    assert "low-memory: 400 MB in 2 processes, the trainer 300" in told
    assert "of the plain loop: ratio 2.57 [>= 3]" in told  # 3.00 less nanoGPT's own 1.169
    assert "beside a busy program: 45,000 of 100,000 tokens per second, 0.45" in told
    assert "1.00 GB of text: first step after 91 s, peak 560 MB in all processes" in told
    assert "20 epochs in 500 s, 4,000,000 weights, 1.5000 bits per byte at epoch 20, peak" in told
    assert "training_20_epochs PASS" in told
    assert "without bfloat16: 20 epochs in 400 s" in told
    assert "training_20_epochs INVALID" in told


def test_a_run_is_ended_once_it_has_said_what_was_waited_for(
    scripts: dict[str, ModuleType],
) -> None:
    code = "import time\nprint('first step', flush=True)\ntime.sleep(60)\nprint('late')"
    found = scripts["fresh"].run([sys.executable, "-c", code], until="first step")
    assert [line for _, line in found.lines] == ["first step"]
    assert found.code != 0


def test_no_line_of_the_large_text_comes_twice_and_it_is_as_long_as_asked(
    scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts["training_figures"], "STORIES_BYTES", 20_000)
    scripts["training_figures"].write_large(tmp_path / "large.txt", 70_000)
    text = (tmp_path / "large.txt").read_text()
    stories = [story for story in text.split("\n\n") if story]
    assert 70_000 <= len(text.encode()) < 100_000
    assert len(set(stories)) == len(stories) > 100
