"""TensorBoard events, read back with TensorBoard's own reader."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.errors import Interrupted, PrerequisiteError
from tinytx.train.board import BoardReporter
from tinytx.train.job import Options, state_to_resume
from tinytx.train.trainer import Job, Trainer

HASHES = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Name to step to value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


def test_an_interrupted_and_resumed_run_leaves_the_curves_of_one_run(
    make_settings: Callable[..., Any],
    make_job_in: Callable[..., Job],
    recorder: Any,
    tmp_path: Path,
) -> None:
    settings = make_settings(training__epochs=2)
    job = make_job_in(settings)

    def stop_at_15(report: Any) -> None:
        if report.done == 15:
            trainer.job.workspace.root.joinpath("stop").touch()
            raise KeyboardInterrupt

    board = BoardReporter(recorder, tmp_path / "tensorboard")
    trainer = Trainer(job, board)
    recorder.at_step = stop_at_15
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        trainer.run()
    board.close()
    recorder.at_step = lambda report: None

    state = state_to_resume(settings, job.workspace, HASHES, Options(resume=True))
    job = make_job_in(settings, job.workspace.root.name, state=state)
    board = BoardReporter(recorder, tmp_path / "tensorboard")
    trainer = Trainer(job, board)
    assert state is not None
    trainer.restore(state)
    trainer.run()
    board.close()

    (run,) = (tmp_path / "tensorboard").iterdir()
    assert run.name == job.metrics.run_id
    found = curves(run)
    losses = {trainer.steps_in[0]: 0, trainer.total_steps: 1}
    assert found["loss/validation"] == {
        step: pytest.approx(job.metrics.epochs[epoch].val_loss) for step, epoch in losses.items()
    }
    expected = [*range(10, trainer.total_steps, 10), trainer.total_steps]
    assert sorted(found["loss/train step"]) == sorted(set(expected))
    assert recorder.steps[-1].done == trainer.total_steps  # everything is passed on


def test_without_the_package_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, recorder: Any, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PrerequisiteError, match="needs the package tensorboard") as caught:
        BoardReporter(recorder, tmp_path)
    assert "pip install 'tensorboard>=2.16'" in caught.value.remedy
