"""Several workers: one budget, lost trials tried again, texts and settings that must agree.

SQLite stands in for the server; test_postgres.py has the real one. The long ones are a second each.
"""

import datetime
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy
from optuna.storages._rdb import models

from tinytx.errors import Interrupted, OverwriteRefused, PrerequisiteError
from tinytx.sweep.inputs import OtherText
from tinytx.sweep.protocol import Done, Task
from tinytx.sweep.records import Outcome, front_of
from tinytx.sweep.search import run_sweep
from tinytx.sweep.shared import search
from tinytx.sweep.shared.patience import Patience
from tinytx.sweep.shared.study import MOST_LOST, TRIALS
from tinytx.sweep.study import WORKER


def silence(server, seconds: int = 1_000) -> None:
    """Let every sign of life have been given so long ago."""
    engine = sqlalchemy.create_engine(f"sqlite:///{server.file}")
    with engine.begin() as connection:
        long_ago = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        long_ago -= datetime.timedelta(seconds=seconds)
        table = models.TrialHeartbeatModel.__table__
        connection.execute(sqlalchemy.update(table).values(heartbeat=long_ago))
    engine.dispose()


def outcomes(records) -> dict[Outcome, int]:
    return dict(Counter(record.outcome for record in records))


@pytest.mark.long
def test_a_second_worker_goes_on_where_the_first_is_and_both_see_all_trials(
    worker, another, make_plan
) -> None:
    worker.search(make_plan(trials=2))
    records = another.search(make_plan(trials=3))
    assert [r.worker for r in records] == ["anna", "anna", "ben"]
    assert all(r.relative_cost for r in records)
    best = front_of(records)[0]
    mine = another.root if best.worker == "ben" else worker.root
    assert (mine / "trials" / f"{best.number:04}" / "best_model.pt").exists()
    assert "the budget of all workers was 2 trials, now it is 3" in another.watch.notes


def test_trials_that_run_elsewhere_count_against_the_budget(worker, another, make_plan) -> None:
    plan = make_plan(trials=1)
    sweep, trial = worker.claim(plan)
    assert another.open(plan)._attempt(math.inf) is None  # nothing to begin, though none has ended
    again = sweep._attempt(math.inf)  # it has come back: what it was at is an orphan
    assert isinstance(again, optuna.Trial)
    assert again.params == trial.params


def test_a_dead_workers_trial_is_tried_again_with_the_same_values(
    server, worker, another, make_plan
) -> None:
    plan = make_plan(trials=2)
    _, lost = worker.claim(plan)
    silence(server)
    records = another.search(plan)
    assert outcomes(records) == {Outcome.INTERRUPTED: 1, Outcome.COMPLETE: 2}
    assert records[lost.number].reason == "anna was not heard of any more"
    (again,) = [r for r in records if r.retry_of == lost.number]
    assert again.params == lost.params
    told = f"trial {lost.number} is tried again: anna was not heard of any more"
    assert told in another.watch.notes


@pytest.mark.long
def test_the_last_worker_waits_for_a_silent_one_and_does_its_trial(
    server, worker, another, make_plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(trials=2)
    worker.claim(plan)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            silence(server)

    monkeypatch.setattr(search, "time", SimpleNamespace(sleep=nap))
    records = another.search(plan)
    assert outcomes(records) == {Outcome.INTERRUPTED: 1, Outcome.COMPLETE: 2}
    assert len(naps) == 3
    (said,) = [note for note in another.watch.notes if note.startswith("nothing is left")]
    assert "waiting for 1 trial on anna" in said


def test_after_a_restart_of_the_server_nobody_is_silent_before_the_grace_is_over(
    server, worker, another, make_plan
) -> None:
    plan = make_plan(trials=1)
    worker.claim(plan)
    silence(server)
    other = another.open(plan)
    server.up = 599.0
    assert other._attempt(math.inf) is None
    server.up = 601.0
    assert isinstance(other._attempt(math.inf), optuna.Trial)


def test_a_trial_that_nobody_signed_is_an_orphan_and_its_values_are_not_lost(
    worker, another, make_plan
) -> None:
    plan = make_plan(trials=2)
    sweep = worker.open(plan)
    unsigned = sweep._study.ask()  # and then the process is gone: no sign of life, no name
    params = unsigned.params
    records = another.search(plan)
    assert records[unsigned.number].outcome is Outcome.INTERRUPTED
    assert [r.params for r in records if r.retry_of == unsigned.number] == [params]


@pytest.mark.long
def test_a_retry_whose_worker_dies_before_it_has_values_is_not_lost(
    worker, another, make_plan
) -> None:
    plan = make_plan(trials=1)
    sweep = worker.open(plan)
    params = {"training.learning_rate": 0.02}
    sweep._study.ask_for(params)
    sweep._study._study._pop_waiting_trial_id()  # taken, and then the process is gone
    records = another.search(plan)
    assert [r.params for r in records if r.outcome is Outcome.COMPLETE] == [params]


def test_a_paused_workers_result_comes_too_late_and_that_is_told(
    server, worker, another, make_plan, formula, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(trials=2)

    def pause(task: Task) -> None:
        if len(formula.tasks) == 1:
            silence(server)
            another.search(replace(plan, trials=1))  # it gives the first one up, and does it
            formula.at_start = lambda task: None

    formula.at_start = pause
    sweep = worker.open(plan)
    monkeypatch.setattr(sweep._study, "beat", lambda trial: True)  # a paused process gives no sign
    records = sweep.run()
    (lost,) = [r for r in records if r.outcome is Outcome.INTERRUPTED]
    assert [r.worker for r in records if r.retry_of == lost.number] == ["ben"]
    assert any("was given up by the others" in note for note in worker.watch.notes)
    assert not (worker.root / "trials" / f"{lost.number:04}").exists()


@pytest.mark.long
def test_a_trial_that_costs_its_workers_again_and_again_is_given_up(
    server, worker, another, make_plan
) -> None:
    plan = make_plan(trials=2)
    for _ in range(MOST_LOST):
        worker.claim(plan)
        silence(server)
    records = another.search(plan)
    assert outcomes(records) == {
        Outcome.INTERRUPTED: MOST_LOST - 1, Outcome.FAILED: 1, Outcome.COMPLETE: 1,
    }  # fmt: skip
    (failed,) = [r for r in records if r.outcome is Outcome.FAILED]
    assert failed.reason == "its worker was lost 3 times in a row, the last one anna"


def test_two_workers_do_not_try_the_same_combination_at_once(worker, another, make_plan) -> None:
    plan = make_plan("model.layers=1,2,3", trials=9)
    _, first = worker.claim(plan)
    other, second = another.claim(plan)
    third = other._study.propose() or other._study.propose()
    assert third is not None
    assert {t.params["model.layers"] for t in (first, second, third)} == {1, 2, 3}
    assert other._study.all_taken()


@pytest.mark.long
def test_ctrl_c_gives_the_trial_back_at_once(worker, another, make_plan, formula) -> None:
    def interrupt(task: Task) -> None:
        raise KeyboardInterrupt

    formula.at_start = interrupt
    plan = make_plan(trials=1)
    with pytest.raises(Interrupted, match="0 of 1 trials are recorded"):
        worker.search(plan)
    formula.at_start = lambda task: None
    records = another.search(plan)
    assert outcomes(records) == {Outcome.INTERRUPTED: 1, Outcome.COMPLETE: 1}
    assert "trial 0 is tried again: interrupted on anna" in another.watch.notes


def gone() -> None:
    raise optuna.exceptions.StorageInternalError("the server has closed the connection")


def test_a_database_that_is_away_for_a_while_is_waited_for_and_told(
    server, worker, make_plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = worker.open(make_plan(trials=1))
    failures = iter([gone, gone])
    server.fail = lambda: next(failures, lambda: None)()
    sweep._study.patience = Patience("the server", worker.watch.note, sleep=lambda _: None)
    records = sweep.run()
    assert outcomes(records) == {Outcome.COMPLETE: 1}
    told = [note for note in worker.watch.notes if "answer" in note]
    assert len(told) == 2
    assert "does not answer (the server has closed the connection); trying again" in told[0]
    assert "answers again" in told[1]


@pytest.mark.long
def test_training_goes_on_while_the_database_is_away_and_no_report_is_lost(
    worker, make_plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = worker.open(make_plan(trials=1))
    send = optuna.Trial.report

    def away_at_first(trial: optuna.Trial, value: float, step: int) -> None:
        if times:
            times.pop()
            gone()
        send(trial, value, step)

    times = [1, 2]
    monkeypatch.setattr(optuna.Trial, "report", away_at_first)
    (record,) = sweep.run()
    assert record.outcome is Outcome.COMPLETE
    assert len(record.epochs) == 3


def test_another_text_is_refused_with_2_before_anything_is_trained(
    worker, another, make_plan, formula, text_file: Path, tmp_path: Path
) -> None:
    worker.search(make_plan(trials=1))
    other = tmp_path / text_file.name
    other.write_text(text_file.read_text() + "One more line.\n")
    with pytest.raises(OtherText, match=r"the text here .* is not that of the search 's'") as error:
        another.search(make_plan(trials=2, corpus__path=str(other)))
    assert error.value.exit_code == 2
    assert len(formula.tasks) == 1


@pytest.mark.long
def test_a_copy_of_the_text_under_another_name_is_the_same_text(
    worker, another, make_plan, text_file: Path, tmp_path: Path
) -> None:
    worker.search(make_plan(trials=1))
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text_file.read_bytes())
    assert len(another.search(make_plan(trials=2, corpus__path=str(copy)))) == 2


@pytest.mark.long
def test_a_text_that_was_prepared_differently_is_refused_too(
    worker, another, make_plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.search(make_plan(trials=1))
    monkeypatch.setattr("tinytx.sweep.shared.search.text_hash", lambda prepared: "0" * 64)
    with pytest.raises(OtherText, match="the prepared text here"):
        another.search(make_plan(trials=2))


@pytest.mark.long
def test_other_settings_are_refused_with_the_difference(worker, another, make_plan) -> None:
    worker.search(make_plan(trials=1))
    with pytest.raises(OverwriteRefused, match=r"training.epochs was 3, now it is 5") as error:
        another.search(make_plan(trials=1, training__epochs=5))
    assert error.value.exit_code == 64


@pytest.mark.long
def test_a_folder_belongs_to_one_worker_of_one_search(worker, another, make_plan, formula) -> None:
    plan = make_plan(trials=1)
    worker.search(plan)
    place = json.loads((worker.root / "shared.json").read_text())
    worker.search(plan)
    assert json.loads((worker.root / "shared.json").read_text()) == place
    with pytest.raises(OverwriteRefused, match="holds trials of a search on several machines"):
        run_sweep(plan, worker.root, worker.watch, run=formula)
    run_sweep(plan, another.root, another.watch, run=formula)
    with pytest.raises(OverwriteRefused, match="holds the trials of another sweep"):
        another.search(plan)
    (worker.root / "shared.json").write_text(json.dumps({**place, "uid": "other"}))
    with pytest.raises(OverwriteRefused, match="holds the trials of another sweep"):
        worker.search(plan)


@pytest.mark.parametrize(
    "value",
    [-math.inf, *(pytest.param(one, marks=pytest.mark.long) for one in (math.inf, math.nan))],
)
def test_bits_per_byte_that_are_no_number_fail_the_trial_and_are_never_the_best(
    worker, make_plan, value: float
) -> None:
    def endless(task: Task, listen) -> Done:
        return Done(value, [0.5], 1.0)

    (record,) = replace(worker, run=endless).search(make_plan(trials=1))
    assert record.outcome is Outcome.FAILED
    assert record.reason == f"the validation came to {value} bits per byte"


@pytest.mark.long
def test_more_trials_than_were_asked_for_are_told(worker, another, make_plan) -> None:
    worker.search(make_plan(trials=2))
    another.search(make_plan(trials=1))
    assert "2 trials are trained where 1 were asked for" in another.watch.notes


@pytest.mark.long
def test_a_worker_of_another_version_is_told_and_names_are_told_apart(
    worker, another, make_plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.search(make_plan(trials=1))
    monkeypatch.setattr("tinytx.sweep.shared.opening.optuna.__version__", "5.1.0")
    twin = replace(another, name="anna")
    records = twin.search(make_plan(trials=2))
    assert records[-1].worker == "anna-2"
    (said,) = [note for note in twin.watch.notes if "optuna" in note]
    assert said.startswith("anna-2 has optuna 5.1.0; the search was begun with ")


@pytest.mark.long
def test_a_study_that_is_deleted_meanwhile_ends_the_worker_with_a_sentence(
    server, worker, make_plan, formula
) -> None:
    def delete(task: Task) -> None:
        optuna.delete_study(study_name="s", storage=f"sqlite:///{server.file}")

    formula.at_start = delete
    with pytest.raises(PrerequisiteError, match="the search 's' is no longer in"):
        worker.search(make_plan(trials=1))


@pytest.mark.long
def test_the_budget_can_be_read_by_all(worker, make_plan) -> None:
    sweep, trial = worker.claim(make_plan(trials=7))
    assert sweep._study.attribute(TRIALS) == 7
    signed = sweep._study._storage.get_trial(trial._trial_id).user_attrs[WORKER]
    assert signed["name"] == "anna"
