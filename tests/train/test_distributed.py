"""Two processes that train one model do what one does, stop together, and miss each other."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.config import Settings
from tinytx.errors import Interrupted, PrerequisiteError, ProcessLost, TinytxError, UsageError
from tinytx.train import checkpoint, distributed
from tinytx.train.distributed import (
    Group,
    alone,
    failure,
    fresh_part,
    join,
    losses_as_errors,
    relayed,
)
from tinytx.train.job import Options, make_job, state_to_resume
from tinytx.train.launch import Launch
from tinytx.train.metrics import read_metrics
from tinytx.train.model import Transformer
from tinytx.train.optimizer import Muon
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.trainer import Trainer
from tinytx.workspace import Workspace

HASHES = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}
MakeSettings = Callable[..., Settings]
MakeJob = Callable[..., Any]
SideBySide = Callable[..., Any]


class At(Reporter):
    """Does something once, after a step."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.at, self.action = step, action

    def step(self, report: StepReport) -> None:
        if report.done == self.at:
            self.action()


def train(
    settings: Settings, space: Workspace, reporters: dict[int, Reporter] | None = None
) -> int:
    """A run, or this process's part of it, from its checkpoint if there is one; its exit code."""
    try:
        with losses_as_errors():
            group = join("cpu")
            state = state_to_resume(settings, space, HASHES, Options(resume_if_possible=True))
            group.any(False)  # all have read it
            job = make_job(settings, space, HASHES, state, group)
            trainer = Trainer(job, (reporters or {}).get(group.rank, Reporter()), group)
            if state is not None:
                trainer.restore(state)
            trainer.warm_up()
            trainer.run()
            group.leave()
    except TinytxError as error:
        sys.stderr.write(f"{type(error).__name__}: {error.message}\n")
        return error.exit_code
    return 0


def curve(space: Workspace) -> list[tuple[float, float, float]]:
    epochs = read_metrics(space.metrics).epochs
    return [(e.train_loss, e.val_loss, e.val_bits_per_byte) for e in epochs]


def assert_same_curve(ours: Workspace, theirs: Workspace, epochs: int, within: float) -> None:
    pairs = list(zip(curve(ours), curve(theirs), strict=True))
    assert len(pairs) == epochs
    for mine, other in pairs:
        assert mine == pytest.approx(other, rel=0, abs=within)


@pytest.mark.parametrize("dropout", [pytest.param(0.0, marks=pytest.mark.long), 0.1])
def test_two_processes_have_the_loss_curve_of_one(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    side_by_side: SideBySide,
    dropout: float,
) -> None:
    settings = make_settings(
        training__epochs=4, training__dropout=dropout, training__pair_dropout=dropout
    )
    one, two = (make_job_in(settings, name).workspace for name in ("one", "two"))
    assert train(settings, one) == 0
    for ended in side_by_side(lambda: train(settings, two)):
        assert ended.code == 0, ended.said
    assert_same_curve(two, one, epochs=4, within=1e-4)
    for name in ("best_model", "final_model"):
        ours, theirs = (checkpoint.load(getattr(space, name)) for space in (two, one))
        for key, tensor in ours["model"].items():
            torch.testing.assert_close(tensor, theirs["model"][key], rtol=1e-2, atol=1e-3)
    machine = read_metrics(two.metrics).machine
    assert (machine["processes"], machine["device"]) == (2, "cpu")


@pytest.mark.long
def test_a_signal_to_one_process_stops_all_at_one_step_and_any_number_of_them_goes_on(
    make_settings: MakeSettings, make_job_in: MakeJob, side_by_side: SideBySide, tmp_path: Path
) -> None:
    settings = make_settings(training__epochs=3, training__dropout=0.1)
    undisturbed, one = (make_job_in(settings, name).workspace for name in ("whole", "one"))
    cut = make_job_in(settings, "cut").workspace
    for ended in side_by_side(lambda: train(settings, undisturbed)):
        assert ended.code == 0, ended.said
    stop = At(14, lambda: os.kill(os.getpid(), signal.SIGTERM))  # the second process alone
    for ended in side_by_side(lambda: train(settings, cut, {1: stop})):
        assert ended.code == Interrupted.exit_code, ended.said
        assert "interrupted; the run so far is saved" in ended.said
    state = checkpoint.load(cut.last_checkpoint)
    assert (state["epoch"], state["step"]) == (1, 3)  # an epoch has 11 steps
    for name in ("last_checkpoint", "best_model", "train_tokens", "val_tokens", "val_text"):
        target = getattr(one, name)
        target.write_bytes(getattr(cut, name).read_bytes())
    assert train(settings, one) == 0
    assert_same_curve(one, undisturbed, epochs=3, within=1e-4)
    for ended in side_by_side(lambda: train(settings, cut)):
        assert ended.code == 0, ended.said
    assert curve(cut) == curve(undisturbed)
    ours, theirs = (checkpoint.load(space.final_model)["model"] for space in (cut, undisturbed))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_others_with_an_error(
    make_settings: MakeSettings, make_job_in: MakeJob, side_by_side: SideBySide, victim: int
) -> None:
    settings = make_settings()
    space = make_job_in(settings).workspace
    death = At(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
    ended = side_by_side(lambda: train(settings, space, {victim: death}))
    assert ended[victim].code == -signal.SIGKILL
    assert ended[1 - victim].code == ProcessLost.exit_code, ended[1 - victim].said
    assert "ProcessLost: another process of this run has ended" in ended[1 - victim].said


def test_a_loss_that_is_not_finite_in_one_process_ends_all_alike(
    make_settings: MakeSettings, make_job_in: MakeJob, side_by_side: SideBySide
) -> None:
    settings = make_settings(training__learning_rate=1e300)
    space = make_job_in(settings).workspace
    for ended in side_by_side(lambda: train(settings, space)):
        assert ended.code == 4
        assert "TrainingError: the loss became nan in epoch 1, step 2" in ended.said


def test_what_processes_say_to_each_other_arrives(side_by_side: SideBySide) -> None:
    def work() -> int:
        group = join("cpu")
        mine = group.rank + 1
        assert group.world == 3
        assert group.first == (group.rank == 0)
        assert group.rows(12) == slice(4 * group.rank, 4 * group.rank + 4)
        assert group.sum(mine) == 6.0
        assert not group.any(False)
        assert group.any(group.rank == 2)
        assert group.share({"said": ["by", mine, "ñ" * 999]}, source=1)["said"][:2] == ["by", 2]
        group.raise_first(None)
        try:
            group.raise_first(PrerequisiteError("no", "do") if group.rank else None)
        except TinytxError as error:
            assert error.message.startswith("process 1 on ")
            assert error.message.endswith(": no")
            assert (error.remedy, error.exit_code) == ("do", 1)
        else:
            return 1
        model = torch.nn.Linear(2, 2)
        group.align(model)  # type: ignore[arg-type]
        assert group.sum(float(model.weight.detach().double().sum())) == pytest.approx(
            3 * float(model.weight.detach().double().sum())
        )
        group.leave()
        return 0

    for ended in side_by_side(work, processes=3):
        assert ended.code == 0, ended.said


def test_a_gpu_that_one_process_lacks_is_told_by_all(
    side_by_side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(setting: str, launch: Any) -> torch.device:
        if launch.rank == 1:
            raise PrerequisiteError("no GPU")
        return torch.device("cuda", 0)

    def work() -> int:
        with pytest.raises(TinytxError, match=r"process 1 on .*: no GPU"):
            join("cuda")
        return 0

    monkeypatch.setattr(distributed, "choose_device", choose)
    assert [ended.code for ended in side_by_side(work)] == [0, 0]


def test_where_not_every_process_has_a_gpu_none_uses_one(
    side_by_side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        distributed,
        "choose_device",
        lambda setting, launch: torch.device("cuda" if launch.rank else "cpu", 0),
    )

    def work() -> int:
        group = join("auto")
        group.leave()
        return 0 if group.device.type == "cpu" else 1

    for ended in side_by_side(work):
        assert ended.code == 0, ended.said


def test_what_an_earlier_start_has_left_in_the_store_confuses_nobody() -> None:
    store = torch.distributed.HashStore()
    store.set("hello/1", "an old word")
    parts: dict[int, Any] = {}

    def enter(rank: int) -> None:
        parts[rank] = fresh_part(store, Launch(rank=rank, world=3))

    for generation in (1, 2):
        threads = [threading.Thread(target=enter, args=(rank,)) for rank in (0, 1, 2)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)  # the first one hears the old words first
        for thread in threads:
            thread.join()
        assert not parts[2].check(["mine"])
        parts[0].set("mine", str(generation))
        assert {part.get("mine") for part in parts.values()} == {str(generation).encode()}


def test_a_process_by_itself_says_nothing() -> None:
    group = Group()
    assert group.first
    assert group.rows(16) == slice(0, 16)
    assert group.sum(2.5) == 2.5
    assert group.any(True)
    assert not group.any(False)
    loss: Any = object()
    assert group.wrap(Transformer.__new__(Transformer), loss) is loss
    with pytest.raises(PrerequisiteError):
        group.raise_first(PrerequisiteError("no"))
    group.leave()


def test_what_trains_in_one_process_only_refuses_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert alone("cpu").world == 1
    told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="started 2 times"):
        alone("cpu")


def test_errors_keep_their_words_and_code_on_the_way() -> None:
    for error in (PrerequisiteError("a", "b"), UsageError("c")):
        again = relayed(failure(error))
        assert (again.message, again.remedy) == (error.message, error.remedy)
        assert again.exit_code == error.exit_code
    assert relayed(failure(KeyboardInterrupt())).exit_code == 130
    assert relayed(failure(ZeroDivisionError())).exit_code == 70
    assert failure(None) == {"code": 0}


def test_only_what_pytorch_says_of_its_peers_counts_as_a_lost_process() -> None:
    with pytest.raises(ProcessLost), losses_as_errors():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), losses_as_errors():
        raise RuntimeError("the shapes do not match")


def test_a_training_step_mixes_no_devices(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PyTorch's meta device, as no GPU is needed for it: a tensor left on the CPU fails."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # it knows none there
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    settings = make_settings(training__dropout=0.1)
    model = Transformer(settings.model, settings.tokenizer.vocab_size, 0.1, 0.1)
    Group(torch.device("meta")).prepare(model)
    optimizer = Muon(model.block_matrices(), 0.1, 0.1, torch.bfloat16)
    tokens = torch.zeros(4, 16, dtype=torch.int64, device="meta")
    for _ in range(2):
        loss = model.loss(tokens, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.device.type == "meta"
    assert {p.device.type for p in model.parameters()} == {"meta"}
