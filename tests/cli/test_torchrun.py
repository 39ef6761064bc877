"""Under torchrun one process speaks, and what cannot succeed is tried once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.cli import torchrun
from tinytx.cli.main import run
from tinytx.errors import Interrupted, ProcessLost, TinytxError, UsageError
from tinytx.train import prerequisites
from tinytx.workspace import Workspace

SideBySide = Callable[..., Any]
Shown = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))


@pytest.fixture
def error_file(tmp_path: Path) -> str:
    """Where torchrun would have an error written: RUN/attempt_0/0/error.json."""
    folder = tmp_path / "torchrun" / "attempt_0" / "0"
    folder.mkdir(parents=True)
    return str(folder / "error.json")


@pytest.fixture
def out(tiny_run: Path, tmp_path: Path) -> Path:
    """The corpus and the tokenizer of a finished run, without its model."""
    root = tmp_path / "out"
    shutil.copytree(tiny_run, root, ignore=shutil.ignore_patterns("bundle", "*.pt"))
    (root / "stamps" / "training.json").unlink()
    return root


@pytest.fixture
def flags(tiny_run: Path) -> list[str]:
    """The settings of that run, with a larger batch: it is over in a moment."""
    config = json.loads((tiny_run / "training_metrics.json").read_bytes())["config"]
    return [
        "train",
        "--quiet",
        *[
            f"--set={section}.{key}={json.dumps(value)}"
            for section, values in config.items()
            for key, value in values.items()
            if value is not None
        ],
        "--batch-size=64",
    ]


def of_three(monkeypatch: pytest.MonkeyPatch, local_rank: str = "0") -> None:
    told = {"RANK": local_rank, "WORLD_SIZE": "3", "LOCAL_RANK": local_rank}
    told |= {"LOCAL_WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)


def test_a_batch_that_cannot_be_split_is_refused_in_one_sentence_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    for local_rank in ("0", "1", "2"):
        of_three(monkeypatch, local_rank)
        assert run(["train", "--batch-size", "16", "--output-dir", str(tmp_path)]) == 64
    err = capsys.readouterr().err
    assert err == (
        "tinytx: a batch of 16 windows cannot be split evenly over 3 processes\n"
        "  -> use --batch-size 15 or 18, or another number of processes\n"
    )
    assert not list(tmp_path.iterdir())


def test_quickstart_does_not_run_in_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    of_three(monkeypatch)
    assert run(["quickstart", "--quiet", "--output-dir", str(tmp_path)]) == 64
    assert "only `tinytx train` runs in several processes" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_environment_without_sense_is_a_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    of_three(monkeypatch)
    monkeypatch.setenv("RANK", "one")
    assert run(["train", "--output-dir", str(tmp_path)]) == 64
    assert "the environment variable RANK must be a whole number" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_a_missing_prerequisite(tmp_path: Path, capsys: Shown) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert run(["train", "--training-device", "cuda", "--output-dir", str(tmp_path)]) == 1
    assert "training.device is cuda, and PyTorch finds no GPU here" in capsys.readouterr().err
    assert run(["train", "--training-device", "tpu", "--output-dir", str(tmp_path)]) == 64
    assert "--training-device" in capsys.readouterr().err


def test_a_text_that_is_missing_ends_all_processes_with_2_said_once_and_for_good(
    out: Path, flags: list[str], side_by_side: SideBySide, error_file: str
) -> None:
    arguments = [*flags, "--output-dir", str(out), "--corpus-path", "/nowhere.txt"]
    ended = side_by_side(lambda: run(arguments), TORCHELASTIC_ERROR_FILE=error_file)
    assert [one.code for one in ended] == [2, 2]
    assert ended[0].said.count("tinytx: ") == 1
    assert "/nowhere.txt" in ended[0].said
    assert ended[1].said == ""
    again = side_by_side(lambda: run(arguments), TORCHELASTIC_ERROR_FILE=error_file)
    assert [(one.code, one.said) for one in again] == [(2, ""), (2, "")]


@pytest.mark.long
def test_two_processes_train_and_one_of_them_writes(
    out: Path, flags: list[str], side_by_side: SideBySide
) -> None:
    arguments = [*flags, "--output-dir", str(out)]
    for one in side_by_side(lambda: run(arguments)):
        assert one.code == 0, one.said
    space = Workspace(out)
    assert json.loads(space.metrics.read_bytes())["finished_at"]
    assert not space.last_checkpoint.exists()
    before = space.final_model.stat().st_mtime_ns
    for one in side_by_side(lambda: run(arguments)):  # and now there is nothing to do
        assert one.code == 0, one.said
    assert space.final_model.stat().st_mtime_ns == before
    refused = side_by_side(lambda: run([*arguments, "--seed", "5"]))
    assert [one.code for one in refused] == [64, 64]
    assert "holds the model of another run" in refused[0].said
    assert refused[1].said == ""


def test_one_process_a_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not torchrun.silent()  # nothing says that there are others
    of_three(monkeypatch, "1")
    assert torchrun.silent()
    monkeypatch.setenv("LOCAL_RANK", "0")  # as the first one of another machine
    assert not torchrun.silent()


def test_a_lost_process_or_an_interruption_is_worth_a_restart_and_nothing_else() -> None:
    assert torchrun.worth_a_restart(ProcessLost("x"))
    assert torchrun.worth_a_restart(Interrupted("x"))
    assert torchrun.worth_a_restart(TinytxError("x"))
    assert not torchrun.worth_a_restart(UsageError("x"))


@pytest.mark.parametrize("content", ["", "two", "\0"])
def test_a_damaged_or_absent_note_of_a_failure_means_nothing(
    error_file: str, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    torchrun.give_up(3)
    assert torchrun.earlier_failure() is None  # without torchrun there is nowhere to note it
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", error_file)
    assert torchrun.earlier_failure() is None
    torchrun.give_up(3)
    assert torchrun.earlier_failure() == 3
    (Path(error_file).parents[2] / torchrun.FAILED).write_text(content)
    assert torchrun.earlier_failure() is None
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "x")
    torchrun.give_up(3)
    assert torchrun.earlier_failure() is None
