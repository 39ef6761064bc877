"""SIGKILL at twenty random moments, inside a checkpoint's write among them: nothing changes.

Each run is a fork of this process: it trains, is killed by the kernel, and the next one goes on.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.config import Settings
from tinytx.errors import CheckpointError
from tinytx.train import checkpoint, trainer
from tinytx.train.job import Options, state_to_resume
from tinytx.train.metrics import read_metrics
from tinytx.train.trainer import Job, Trainer
from tinytx.workspace import Workspace

HASHES = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}
KILLS = 20
WRITING = ("fsync", "replace")
"""What a checkpoint's write calls: the bytes go to the disk, the file takes its name."""

MakeJob = Callable[..., Job]


def train(make_job_in: MakeJob, settings: Settings, folder: Path, recorder: Any) -> None:
    """A run from its checkpoint, where there is one, to its end."""
    space = Workspace(folder)
    state = state_to_resume(settings, space, HASHES, Options(resume_if_possible=True))
    job = make_job_in(settings, folder.name, state=state)
    made = Trainer(job, recorder)
    if state is not None:
        made.restore(state)
    made.warm_up()
    made.run()


def die_at(call: str, number: int, after: bool) -> None:
    """Be killed at the n-th call of ``os.<call>``, just before it or just after."""
    real, count = getattr(os, call), 0

    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, call, deadly)


def in_a_fork(work: Callable[[], None], seconds: float | None) -> bool:
    """Do ``work`` in a child; kill it after ``seconds``. Whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)  # none of pytest's own endings
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def history(space: Workspace) -> list[tuple[float, float, float]]:
    return [(e.train_loss, e.val_loss, e.learning_rate) for e in read_metrics(space.metrics).epochs]


def assert_same(ours: Workspace, theirs: Workspace) -> None:
    for name in ("final_model", "best_model"):
        mine, other = (checkpoint.load(getattr(space, name))["model"] for space in (ours, theirs))
        assert all(torch.equal(tensor, other[key]) for key, tensor in mine.items()), name
    assert history(ours) == history(theirs)


@pytest.mark.long
def test_a_run_that_is_killed_twenty_times_ends_bit_identical_to_one_that_was_not(
    make_settings: Callable[..., Settings],
    make_job_in: MakeJob,
    recorder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__dropout=0.1, training__epochs=4)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint after every step
    began = time.monotonic()
    train(make_job_in, settings, tmp_path / "whole", recorder)
    whole_seconds = time.monotonic() - began
    moments = random.Random(os.urandom(8))
    kills, runs, progress = 0, 0, set()
    while kills < KILLS:
        space = Workspace(tmp_path / f"killed{runs}")

        def work(space: Workspace = space, kind: int = kills % 2) -> None:
            if kind:
                die_at(moments.choice(WRITING), moments.randint(1, 12), moments.random() < 0.5)
            train(make_job_in, settings, space.root, recorder)

        timed = kills % 2 == 0
        moments.random()  # the child's choices differ from the last child's
        killed = in_a_fork(work, moments.uniform(0.0, whole_seconds / 4) if timed else None)
        kills += killed
        if space.last_checkpoint.exists():
            state = checkpoint.load(space.last_checkpoint)  # whole, whatever the moment
            progress.add((runs, state["epoch"], state["step"]))
        if space.final_model.exists():
            assert_same(space, Workspace(tmp_path / "whole"))
            runs += 1
    if not Workspace(tmp_path / f"killed{runs}").final_model.exists():
        train(make_job_in, settings, tmp_path / f"killed{runs}", recorder)
        assert_same(Workspace(tmp_path / f"killed{runs}"), Workspace(tmp_path / "whole"))
    assert len(progress) >= KILLS // 4, "the kills came too early to mean anything"


def test_half_a_checkpoint_under_its_name_would_be_refused(tmp_path: Path) -> None:
    """What the rename prevents: this is how it would look."""
    path = tmp_path / "last_checkpoint.pt"
    checkpoint.save(path, {"model": {"w": torch.ones(1_000)}})
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        checkpoint.load(path)
