"""``tinytx plan``: the table, the file, and what is refused."""

import json
from pathlib import Path

import pytest

from tinytx.cli.main import run
from tinytx.config import load_settings
from tinytx.fit import plan
from tinytx.fit.machine import Rates
from tinytx.fit.plan import read_plan

Shown = pytest.CaptureFixture[str]
RATES = Rates(
    precision="bfloat16",
    threads=2,
    products={64: 1e11, 256: 3e11},
    head={64: 1e11, 256: 3e11},
    attention={32: 1e11, 64: 1.5e11},
    orthogonal={64: 2e10, 256: 1e11},
    softmax=1e9,
    stream=3e9,
    adamw=5e8,
    lookup=5e8,
    dispatch=2e-6,
    core=3e7,
)
FEW = ["--vocab-size", "512", "--hidden", "160", "--pair-rows", "1000"]


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "rates_of_this_machine", lambda settings: RATES)


def test_a_plan_is_shown_and_written_for_train(
    small_corpus: Path, tmp_path: Path, capsys: Shown
) -> None:
    file = tmp_path / "plan.toml"
    corpus = ["--corpus-path", str(small_corpus)]
    arguments = ["plan", *corpus, *FEW, "--time", "1m", "--device", "pi-4", "--output", str(file)]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    for words in (
        "bits/byte",
        "the plan:",
        "Raspberry Pi 4",
        "10 MB in float32",
        "the next larger",
    ):
        assert words in shown.err
    assert f"next: tinytx train --config {file}" in shown.err
    made = read_plan(file)
    settings = load_settings(file)
    assert (settings.tokenizer.vocab_size, settings.model.hidden) == (512, 160)
    assert settings.training.time_limit == made.seconds_asked == 60.0
    assert made.model_precision == "float32"
    assert run(arguments) == 64
    assert "there is such a file" in capsys.readouterr().err


def test_json_has_the_plan_and_the_frontier(small_corpus: Path, capsys: Shown) -> None:
    arguments = ["plan", "--corpus-path", str(small_corpus), *FEW, "--json", "--quiet"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["plan"]["settings"]["training"]["epochs"] == 20
    assert document["plan"]["seconds_asked"] == 600.0
    assert document["frontier"]
    assert {"seconds", "bits_per_byte", "model_bytes", "next_token_ns"} <= {
        *document["frontier"][0]
    }
    assert document["machine"]["precision"] == "bfloat16"


def test_a_preset_that_is_named_keeps_its_shape_and_the_time_decides_the_epochs(
    small_corpus: Path, capsys: Shown
) -> None:
    arguments = ["plan", "--corpus-path", str(small_corpus), "--preset", "low-memory"]
    arguments += ["--vocab-size", "512", "--time", "5m", "--json"]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)["plan"]["settings"]
    assert (found["model"]["layers"], found["model"]["width"]) == (2, 80)
    assert found["training"]["micro_batch"] == 2
    assert found["training"]["epochs"] != 10


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--time", "10 parsecs"], "--time '10 parsecs' is no time; write 90s, 10m or 1h30m"),
        (["--time", "0"], "'0' is no time"),
        (["--time", "-3m"], "'-3m' is no time"),
        (["--device", "pi-9"], "no device is called 'pi-9'; did you mean 'pi-5'?"),
        (["--budgets", "none-such"], "no budgets of this name"),
        (["--time", "2s"], "2 s are too short for a useful model"),
        (["--layers", "3", "--width", "50"], "no width that the heads divide"),
    ],
)
def test_what_cannot_be_planned_ends_with_64_and_one_sentence(
    small_corpus: Path, flags: list[str], words: str, capsys: Shown
) -> None:
    assert run(["plan", "--corpus-path", str(small_corpus), "--quiet", *flags]) == 64
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) <= 2


def test_a_text_that_is_missing_ends_with_2(tmp_path: Path, capsys: Shown) -> None:
    assert run(["plan", "--corpus-path", str(tmp_path / "none.txt")]) == 2
