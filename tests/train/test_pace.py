"""Runs that end in time: the schedule's places one by one, and whole runs under a planted clock."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.config import Settings
from tinytx.errors import CheckpointError, Interrupted, TrainingError
from tinytx.export.record import training_record
from tinytx.train import checkpoint, pace, trainer
from tinytx.train.distributed import join, losses_as_errors
from tinytx.train.evaluate import Score, evaluate
from tinytx.train.job import Options, make_job, state_to_resume
from tinytx.train.metrics import read_metrics
from tinytx.train.optimizer import learning_rate
from tinytx.train.pace import Pace, PaceState
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.trainer import Job, Trainer
from tinytx.workspace import Workspace

MakeSettings = Callable[..., Settings]
MakeJob = Callable[..., Job]
HASHES = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}
EPOCHS, STEPS_IN_EPOCH = 10, 11
TOTAL = EPOCHS * STEPS_IN_EPOCH


@dataclass
class Time:
    """A clock that only the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    planted = Time()
    monkeypatch.setattr(pace, "clock", planted)
    return planted


def simulate(
    time: Time,
    limit: float,
    cost: Callable[[int], float],
    epochs: int = 20,
    steps: int = 200,
    validation: float = 1.0,
    share: float = 10.0,
) -> Pace:
    """A run whose steps take ``cost(number)`` seconds; its places are in ``made.places``."""
    made = Pace(limit, [steps] * epochs, share, time.now)
    made.places = []  # type: ignore[attr-defined]
    made.begin()
    while not made.over:
        made.advance()
        made.places.append(made.place)  # type: ignore[attr-defined]
        time.now += cost(made.done)
        made.stepped()
        if made.done % steps == 0 or made.over:
            with made.apart(validation=True):
                time.now += validation
    return made


PACES: dict[str, Callable[[int], float]] = {
    "a tenth too slow": lambda n: 0.165,
    "half the speed from the middle on": lambda n: 0.14 if n < 2_000 else 0.28,
    "half the speed from the start": lambda n: 0.28,
    "half the speed for a while": lambda n: 0.28 if 1_000 < n < 2_500 else 0.14,
    "two kinds of steps": lambda n: 0.1 if n % 3 else 0.4,
    "a step of three minutes": lambda n: 180.0 if n == 2_000 else 0.14,
    "ten times as slow": lambda n: 1.4,
    "slow in the last tenth": lambda n: 0.14 if n < 3_600 else 1.0,
}


@pytest.mark.parametrize("kind", PACES)
def test_a_run_that_is_too_slow_ends_in_time_and_at_the_end_of_its_schedule(
    time: Time, kind: str
) -> None:
    made = simulate(time, 600.0, PACES[kind])
    assert made.spent() < 600.0
    assert made.spent() > 560.0  # and the time is used
    assert made.place == 3_999.0
    assert made.done < 4_000
    places = made.places  # type: ignore[attr-defined]
    assert all(after > before for before, after in itertools.pairwise(places))


@pytest.mark.parametrize(
    "cost",
    [
        lambda n: 0.14,
        lambda n: 0.10 + 0.07 * (n % 2),
        lambda n: 3.0 if n < 4 else 0.135,  # the first steps of a process
        lambda n: 6.0 if n % 1_000 == 500 else 0.13,  # something else for a moment, now and then
        lambda n: 0.28 if 100 <= n < 110 else 0.14,
    ],
)
def test_while_all_steps_fit_each_has_the_place_that_was_planned(
    time: Time, cost: Callable[[int], float]
) -> None:
    made = simulate(time, 600.0, cost)
    assert made.places == [float(n) for n in range(4_000)]  # type: ignore[attr-defined]
    assert made.spent() < 600.0


def test_without_a_limit_no_time_is_too_long(time: Time) -> None:
    made = simulate(time, 0.0, lambda n: 1e6, epochs=2, steps=5)
    assert made.places == [float(n) for n in range(10)]  # type: ignore[attr-defined]
    assert made.expected == 10


def test_a_machine_that_recovers_gets_steps_back_but_never_more_than_planned(time: Time) -> None:
    slow_for_ever = simulate(time, 600.0, lambda n: 0.28 if n > 1_000 else 0.14)
    recovers = simulate(time, 600.0, lambda n: 0.28 if 1_000 < n < 1_200 else 0.14)
    assert slow_for_ever.done < 2_800
    assert 3_600 < recovers.done < 4_000
    assert recovers.place == 3_999.0


def test_a_few_long_steps_end_in_time_as_well(time: Time) -> None:
    made = simulate(time, 600.0, lambda n: 30.0, epochs=4, steps=10, share=0.1)
    assert made.spent() < 600.0
    assert (made.place, made.done) == (39.0, pytest.approx(18, abs=1))


def test_a_run_whose_time_is_nearly_over_before_its_first_step_is_refused(time: Time) -> None:
    made = Pace(60.0, [100] * 2, 1.0, time.now)
    time.now += 56.0
    with pytest.raises(TrainingError, match="preparing took 56 s: of the 60 s") as caught:
        made.begin()
    assert "run it again: what has been prepared is kept" in caught.value.remedy
    again = Pace(60.0, [100] * 2, 1.0, time.now)
    time.now += 5.0
    again.begin()


def test_what_a_user_is_told_is_told_once(time: Time) -> None:
    made = Pace(600.0, [200] * 20, 10.0, time.now)
    told = []
    for _ in range(400):
        told.append(made.advance())
        time.now += 0.3
        made.stepped()
    (story,) = filter(None, told)
    assert story.startswith("a step takes 0.3 s here: of the 3,960 steps that are left about ")
    assert story.endswith(
        "fit into the 600 s of this run, whose schedule is shortened to end in time"
    )


def timed(
    recorder: Any, time: Time, monkeypatch: pytest.MonkeyPatch, cost: Callable[[int], float]
) -> None:
    """Steps cost planted seconds, validations ten."""

    def at_step(report: StepReport) -> None:
        time.now += cost(report.done)

    def slow(*arguments: Any) -> Score:
        time.now += 10.0
        return evaluate(*arguments)

    recorder.at_step = at_step
    monkeypatch.setattr(trainer, "evaluate", slow)


def train(job: Job, reporter: Reporter, state: dict[str, Any] | None = None) -> Trainer:
    made = Trainer(job, reporter)
    if state is not None:
        made.restore(state)
    made.run()
    return made


def floor_of(settings: Settings) -> float:
    """The learning rate of an undisturbed run's last step."""
    return learning_rate(TOTAL - 1, TOTAL, settings)


def half_speed(done: int) -> float:
    return 4.0 if done < TOTAL // 2 else 8.5


@pytest.mark.long
def test_a_run_on_time_has_the_very_weights_of_a_run_without_a_limit(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = {}
    for limit in (0.0, 600.0):
        settings = make_settings(training__epochs=EPOCHS, training__time_limit=limit)
        recorder = make_recorder()
        timed(recorder, time, monkeypatch, lambda done: 3.7)  # 110 x 3.7 + 10 x 10 = 507
        ended[limit] = train(make_job_in(settings, f"limit-{limit}"), recorder)
        assert len(recorder.steps) == TOTAL
        assert not [note for note in recorder.notes if "shortened" in note]
    ours, theirs = (e.job.workspace for e in ended.values())
    for name in ("final_model", "best_model"):
        mine, other = (checkpoint.load(getattr(space, name))["model"] for space in (ours, theirs))
        assert all(torch.equal(tensor, other[key]) for key, tensor in mine.items())
    metrics = ended[600.0].job.metrics
    assert (metrics.steps, metrics.planned_steps) == (TOTAL, TOTAL)
    assert [e.part for e in metrics.epochs] == [1.0] * EPOCHS


def test_a_run_whose_machine_falls_to_half_its_speed_ends_in_time_at_its_floor(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Any,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    timed(recorder, time, monkeypatch, half_speed)
    began, job = time.now, make_job_in(settings)
    train(job, recorder)
    assert 540.0 < time.now - began < 600.0
    metrics = read_metrics(job.workspace.metrics)
    last = metrics.epochs[-1]
    assert last.learning_rate == floor_of(settings)
    assert metrics.planned_steps == TOTAL
    assert metrics.steps == len(recorder.steps) < TOTAL - 5
    assert metrics.steps == round(sum(e.part for e in metrics.epochs) * STEPS_IN_EPOCH)
    assert metrics.config["training"]["epochs"] == EPOCHS > len(metrics.epochs)
    assert 0.0 < last.part < 1.0
    assert recorder.steps[-1].done == recorder.steps[-1].total
    (told,) = [note for note in recorder.notes if "schedule is shortened" in note]
    assert "of the " in told
    percent = f"({100 * last.part:.0f} % of it): train "
    assert f"epoch {len(metrics.epochs)}/{EPOCHS} {percent}" in recorder.notes[-1]
    in_epoch = [r.loss for r in recorder.steps if r.epoch == last.epoch]
    assert last.train_loss == pytest.approx(sum(in_epoch) / len(in_epoch))


@pytest.mark.long
def test_the_partial_epoch_of_a_shortened_run_is_no_fast_one_to_the_training_budget(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    recorder: Any,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    timed(recorder, time, monkeypatch, half_speed)
    job = make_job_in(settings)
    train(job, recorder)
    record = training_record(job.metrics)
    whole = [e.seconds for e in job.metrics.epochs[:-1]]
    assert (record.epochs, record.epoch_seconds) == (len(whole), whole)
    assert not record.complete


@pytest.mark.long
@pytest.mark.parametrize("cut", [40, 75])
def test_a_run_resumed_before_or_in_its_shortened_part_still_ends_in_time_at_its_floor(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
    cut: int,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    first, second = make_recorder(), make_recorder()

    def stop(done: int) -> float:
        if done == cut:
            made.group.any = lambda flag: True  # type: ignore[method-assign]
        return half_speed(done)

    timed(first, time, monkeypatch, stop)
    began, job = time.now, make_job_in(settings)
    made = Trainer(job, first)
    monkeypatch.setattr(made, "group", type(made.group)())
    with pytest.raises(Interrupted):
        made.run()
    time.now += 50_000.0  # nobody's time
    state = state_to_resume(settings, job.workspace, HASHES, Options(resume=True))
    assert state is not None
    timed(second, time, monkeypatch, half_speed)
    again = make_job_in(settings, state=state)
    resumed = train(again, second, state)
    assert time.now - 50_000.0 - began < 600.0
    assert resumed.pace.spent() == pytest.approx(time.now - 50_000.0 - began)
    metrics = again.metrics
    assert metrics.epochs[-1].learning_rate == floor_of(settings)
    assert second.steps[0].done == cut + 1
    assert cut + len(second.steps) == metrics.steps < TOTAL
    notes = first.notes + second.notes
    assert len([note for note in notes if "schedule is shortened" in note]) == 1


@pytest.mark.long
def test_a_run_killed_between_its_last_step_and_the_validation_is_validated_when_it_goes_on(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)  # after every step
    whole, killed = make_recorder(), make_recorder()
    timed(whole, time, monkeypatch, half_speed)
    job = make_job_in(settings, "whole")
    train(job, whole)
    timed(killed, time, monkeypatch, half_speed)
    cut = make_job_in(settings, "cut")
    made = Trainer(cut, killed)

    def die(*_: Any) -> None:
        if made.pace.over:
            raise KeyboardInterrupt
        Trainer._finish_epoch(made, *_)

    monkeypatch.setattr(made, "_finish_epoch", die)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    state = state_to_resume(settings, cut.workspace, HASHES, Options(resume=True))
    assert state is not None
    resumed = make_job_in(settings, "cut", state=state)
    train(resumed, make_recorder(), state)
    ours, theirs = (
        [(e.part, e.train_loss, e.val_loss) for e in one.metrics.epochs] for one in (resumed, job)
    )
    assert ours == theirs


def test_a_run_stopped_in_its_last_validation_is_over_when_it_is_resumed(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    make_recorder: Callable[[], Any],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    recorder, after = make_recorder(), make_recorder()
    timed(recorder, time, monkeypatch, half_speed)
    job = make_job_in(settings)
    done = train(job, recorder)
    state = state_to_resume(settings, job.workspace, HASHES, Options(resume=True))
    assert state is not None
    again = make_job_in(settings, state=state)
    train(again, after, state)
    assert after.steps == []
    assert again.metrics.steps == done.pace.done
    assert len(again.metrics.epochs) == len(job.metrics.epochs)


@pytest.mark.parametrize(
    "damaged", [None, 3, {"done": "many"}, {"done": 1, "place": 0.0, "spent": 1.0}], ids=str
)
def test_a_pace_that_makes_no_sense_is_a_checkpoint_error(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Any, damaged: object
) -> None:
    settings = make_settings()
    job = make_job_in(settings)
    train(job, recorder)
    state = {**checkpoint.load(job.workspace.last_checkpoint), "pace": damaged}
    again = make_job_in(settings, state=state)
    with pytest.raises(CheckpointError, match="holds no usable pace"):
        Trainer(again, Reporter()).restore(state)


@pytest.mark.long
def test_two_processes_shorten_their_schedule_by_the_first_ones_word(
    make_settings: MakeSettings,
    make_job_in: MakeJob,
    side_by_side: Callable[..., Any],
    tmp_path: Path,
) -> None:
    settings = make_settings(training__epochs=EPOCHS, training__time_limit=600.0)
    space = make_job_in(settings).workspace

    def work() -> int:
        time, seen = Time(), []
        pace.clock = time
        with losses_as_errors():
            group = join("cpu")
            made = Trainer(make_job(settings, space, HASHES, None, group), Reporter(), group)
            step, first = made._train_step, group.first

            def timed(*arguments: Any) -> float:
                seen.append(made.pace.place)
                # the second one's own clock would never shorten anything
                time.now += (4.0 if len(seen) < TOTAL // 2 else 9.0) if first else 0.1
                return step(*arguments)

            made._train_step = timed  # type: ignore[method-assign]
            made.run()
            group.leave()
        (tmp_path / f"seen-{group.rank}").write_text(repr((seen, len(made.job.metrics.epochs))))
        return 0

    for ended in side_by_side(work):
        assert ended.code == 0, ended.said
    words = [(tmp_path / f"seen-{rank}").read_text() for rank in (0, 1)]
    assert words[0] == words[1]
    metrics = read_metrics(space.metrics)
    assert metrics.steps < TOTAL
    assert metrics.epochs[-1].learning_rate == floor_of(settings)


def test_the_state_of_a_pace_goes_to_a_checkpoint_and_back(time: Time) -> None:
    state = PaceState(done=7, place=9.5, spent=88.0, validation=2.0, told=True)
    made = Pace(600.0, [50] * 2, 1.0, time.now)
    made.restore(state)
    assert made.state() == state
    time.now += 5.0
    assert made.spent() == 93.0
    assert not math.isinf(made.expected)


def test_a_limit_travels_with_a_runs_settings(
    make_settings: MakeSettings, make_job_in: MakeJob, recorder: Any
) -> None:
    job = make_job_in(make_settings())
    train(job, recorder)
    other = make_settings(training__time_limit=60.0)
    with pytest.raises(CheckpointError, match=r"training\.time_limit was 0\.0, now it is 60\.0"):
        state_to_resume(other, Workspace(job.workspace.root), HASHES, Options(resume=True))
