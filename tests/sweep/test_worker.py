"""A trial that is really trained, in this process and in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tinytx.config import as_dict
from tinytx.errors import TrainingError
from tinytx.sweep import child, worker
from tinytx.sweep.inputs import discard, link_trial
from tinytx.sweep.protocol import EpochEnd, Message, Pace, StopTrial, Task
from tinytx.train.progress import StepReport
from tinytx.workspace import Workspace


@pytest.fixture
def task(root: Path, make_plan) -> Task:
    (prepared,) = (root / "prepared").iterdir()
    link_trial(Workspace(prepared), Workspace(root / "trial"))
    return Task(settings=as_dict(make_plan().settings), folder=str(root / "trial"))


def ignore(message: Message) -> None:
    """Goes on whatever it hears."""


def test_a_process_of_its_own_finds_what_this_one_finds_and_leaves_a_whole_output_directory(
    task: Task, root: Path
) -> None:
    heard: list[Message] = []
    here = worker.train(task, heard.append)
    assert [m.epoch for m in heard if isinstance(m, EpochEnd)] == [1, 2, 3]
    assert here.bits_per_byte == min(m.bits_per_byte for m in heard if isinstance(m, EpochEnd))
    space = Workspace(root / "trial")
    assert all(p.is_file() for p in (space.best_model, space.final_model, space.metrics))
    there = child.run(task, ignore)
    assert there.bits_per_byte == here.bits_per_byte
    assert len(there.epoch_seconds) == 3


def test_a_loss_that_is_no_number_is_the_trials_own_failure(task: Task) -> None:
    settings = {**task.settings, "training": {**task.settings["training"], "learning_rate": 1e30}}
    with pytest.raises(TrainingError, match="loss became"):
        worker.train(Task(settings=settings, folder=task.folder), ignore)


def test_the_process_ends_itself_when_the_sweep_has_gone(task: Task) -> None:
    endless = {**task.settings, "training": {**task.settings["training"], "epochs": 100_000}}
    message = msgspec.json.encode(Task(settings=endless, folder=task.folder)) + b"\n"
    ended = subprocess.run(child.COMMAND, input=message, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, b"")


SCRIPT = "import json, os, sys, time\ntask = sys.stdin.readline()\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("os.kill(os.getpid(), 9)", "was killed, as the kernel does when memory runs out"),
        ("os.kill(os.getpid(), 11)", "killed by signal 11"),
        ("sys.exit('no module named torch')", "ended with code 1: no module named torch"),
        ("print('hello', flush=True)", "wrote no proper message"),
        ("print(json.dumps({'type': 'Failed', 'reason': 'it broke'}), flush=True)", "^it broke$"),
    ],
)
def test_whatever_becomes_of_the_process_the_trial_fails_with_a_reason(
    task: Task, script: str, words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        child.run(task, ignore, (sys.executable, "-c", SCRIPT + script))


@pytest.mark.parametrize("error", [StopTrial, KeyboardInterrupt])
def test_a_stopped_trial_leaves_no_process(
    task: Task, tmp_path: Path, error: type[BaseException]
) -> None:
    told = tmp_path / "pid"
    script = SCRIPT + (
        f"open({str(told)!r}, 'w').write(str(os.getpid()))\n"
        "print(json.dumps({'type': 'EpochEnd', 'epoch': 1, 'bits_per_byte': 2.0}), flush=True)\n"
        "time.sleep(60)"
    )

    def stop(message: Message) -> None:
        raise error

    with pytest.raises(error):
        child.run(task, stop, (sys.executable, "-c", script))
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_the_pace_is_told_once_by_the_fastest_step_with_validation_counted_in(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([float(2 * i) for i in range(40)])
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(now))
    heard: list[Message] = []
    space = Workspace(Path(task.folder))
    watcher = worker.Watcher(space, heard.append)
    for done in range(1, 31):
        watcher.step(StepReport(done, 300, 1, 3, 5.0, 1e3, 1.0))
    (pace,) = heard
    assert isinstance(pace, Pace)
    share = space.val_tokens.stat().st_size / space.train_tokens.stat().st_size / 3
    assert pace.twenty_epochs_ns == pytest.approx(20 * 100 * 2e9 * (1 + share))


def test_discarding_a_trial_keeps_its_metrics_and_what_it_was_made_of(
    task: Task, root: Path
) -> None:
    space = Workspace(root / "trial")
    space.metrics.write_text("{}")
    discard(space)
    assert list(space.root.iterdir()) == [space.metrics]
    (prepared,) = (root / "prepared").iterdir()
    assert Workspace(prepared).train_text.is_file()
