"""Nothing that an earlier run left is replaced unasked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tinytx.config import Settings
from tinytx.errors import CheckpointError, OverwriteRefused
from tinytx.train import checkpoint, prerequisites
from tinytx.train.guard import Guard
from tinytx.train.job import Options
from tinytx.train.metrics import read_metrics
from tinytx.train.pipeline import Pipeline
from tinytx.workspace import Workspace, sha256_file

MakeSettings = Callable[..., Settings]


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))


def other(settings: Settings, **changes: object) -> Settings:
    """The same with fields of the training section changed."""
    return msgspec.structs.replace(
        settings, training=msgspec.structs.replace(settings.training, **changes)
    )


def elsewhere(settings: Settings, path: Path) -> Settings:
    return msgspec.structs.replace(
        settings, corpus=msgspec.structs.replace(settings.corpus, path=str(path))
    )


def files_of(space: Workspace) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in space.root.rglob("*") if path.is_file()}


def refused(space: Workspace, settings: Settings, reporter: Any, **options: bool) -> str:
    """The message of a run that is refused and has changed nothing."""
    before = files_of(space)
    with pytest.raises((OverwriteRefused, CheckpointError)) as caught:
        Pipeline(settings, space, Options(**options), reporter).run()
    assert files_of(space) == before
    assert "--overwrite" in caught.value.remedy
    return caught.value.message


@pytest.fixture
def interrupted(finished: Workspace, finished_settings: Settings) -> Workspace:
    """The finished run as if it had been stopped before its end."""
    names = ["optimizer", "random", "step", "loss_sum", "epoch_seconds", "best", "metrics"]
    state = {**checkpoint.load(finished.best_model), **dict.fromkeys(names, 0)}
    checkpoint.save(finished.last_checkpoint, state)
    finished.final_model.unlink()
    finished.stamp("training").remove()
    return finished


def test_a_finished_model_is_kept_when_a_setting_differs(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    said = refused(finished, other(finished_settings, seed=9), recorder)
    assert "the model of another run: training.seed was 1, now it is 9" in said
    assert recorder.phases == ["prerequisites"]


def test_a_finished_model_is_kept_when_the_text_differs(
    finished: Workspace, finished_settings: Settings, small_corpus: Path, tmp_path: Path,
    recorder: Any,
) -> None:  # fmt: skip
    mine = tmp_path / "mine.txt"
    mine.write_text(small_corpus.read_text(encoding="utf-8") + "One more.\n", encoding="utf-8")
    said = refused(finished, elsewhere(finished_settings, mine), recorder)
    assert "the model of another run: the val text has changed" in said or "train text" in said


def test_a_model_that_was_tampered_with_is_kept_as_well(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    finished.best_model.write_bytes(finished.best_model.read_bytes()[:-1])
    assert "best_model.pt would be replaced" in refused(finished, finished_settings, recorder)


def test_an_interrupted_run_is_kept_unless_it_is_resumed(
    interrupted: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    assert "holds an interrupted run" in refused(interrupted, finished_settings, recorder)


def test_resume_with_other_settings_is_refused_before_the_tokenizer_is_replaced(
    interrupted: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    tokenizer = msgspec.structs.replace(finished_settings.tokenizer, vocab_size=310)
    settings = msgspec.structs.replace(finished_settings, tokenizer=tokenizer)
    said = refused(interrupted, settings, recorder, resume=True)
    assert "tokenizer.vocab_size was 320, now it is 310" in said


def test_resume_with_another_text_is_refused_before_the_text_is_replaced(
    interrupted: Workspace, finished_settings: Settings, small_corpus: Path, tmp_path: Path,
    recorder: Any,
) -> None:  # fmt: skip
    mine = tmp_path / "mine.txt"
    mine.write_text("A first line.\n" + small_corpus.read_text(encoding="utf-8"), encoding="utf-8")
    said = refused(interrupted, elsewhere(finished_settings, mine), recorder, resume=True)
    assert "belongs to another run: the train text has changed" in said


@pytest.mark.long
def test_what_may_be_replaced_is_replaced(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    settings = other(finished_settings, seed=9, epochs=1)
    Pipeline(settings, finished, Options(overwrite=True), recorder).run()
    assert read_metrics(finished.metrics).config["training"]["seed"] == 9


def test_the_same_run_again_and_an_empty_folder_need_no_permission(
    finished: Workspace, finished_settings: Settings, tmp_path: Path
) -> None:
    for space in (finished, Workspace(tmp_path / "new")):
        guard = Guard(space, Options())
        guard.check_settings(finished_settings)
        guard.check_texts(sha256_file(finished.train_text), sha256_file(finished.val_text))
    Guard(Workspace(tmp_path / "new"), Options()).check_models()
