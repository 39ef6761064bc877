"""The loop: continuing, interruptions, repeats, what is kept and what is refused."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tinytx.errors import (
    CheckpointError,
    CorpusError,
    Interrupted,
    OverwriteRefused,
    PrerequisiteError,
    TrainingError,
)
from tinytx.sweep import search
from tinytx.sweep.protocol import Task
from tinytx.sweep.records import Outcome, front_of
from tinytx.sweep.search import run_sweep
from tinytx.sweep.study import open_study

LAYERS = "model.layers=1,2,3"


@pytest.fixture
def another_root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "another"))


def test_a_countable_space_is_tried_whole_and_no_combination_twice(
    root: Path, make_plan, follower, formula
) -> None:
    records = run_sweep(make_plan(LAYERS, trials=9), root, follower, run=formula)
    layers = [task.settings["model"]["layers"] for task in formula.tasks]
    assert sorted(layers) == [1, 2, 3]
    assert follower.notes[-1] == "every combination has been tried"
    assert all(r.outcome in (Outcome.COMPLETE, Outcome.REPEAT) for r in records)


def test_the_same_call_goes_on_and_repeats_no_finished_trial(
    root: Path, make_plan, follower, formula
) -> None:
    first = run_sweep(make_plan(trials=2), root, follower, run=formula)
    again = run_sweep(make_plan(trials=2), root, follower, run=formula)
    assert again == first
    assert len(formula.tasks) == 2
    more = run_sweep(make_plan(trials=3), root, follower, run=formula)
    assert more[:2] == first
    assert len(formula.tasks) == 3
    assert "going on after 2 trained trials" in follower.notes


def test_an_interrupted_sweep_proposes_what_an_uninterrupted_one_does(
    root: Path, another_root: Path, make_plan, follower, formula
) -> None:
    whole = run_sweep(make_plan(trials=2), root, follower, run=formula)
    for trials in (1, 2):
        parts = run_sweep(make_plan(trials=trials), another_root, follower, run=formula)
    assert [r.params for r in parts] == [r.params for r in whole]


def test_ctrl_c_loses_the_trial_under_way_and_nothing_else(
    root: Path, make_plan, follower, formula
) -> None:
    def interrupt(task: Task) -> None:
        if len(formula.tasks) == 2:
            raise KeyboardInterrupt

    formula.at_start = interrupt
    with pytest.raises(Interrupted, match="1 of 2 trials are recorded"):
        run_sweep(make_plan(trials=2), root, follower, run=formula)
    assert follower.records[-1].outcome is Outcome.INTERRUPTED
    records = run_sweep(make_plan(trials=2), root, follower, run=formula)
    assert [r.outcome for r in records].count(Outcome.COMPLETE) == 2
    lost = next(r for r in records if r.outcome is Outcome.INTERRUPTED)
    assert next(r.params for r in records if r.number > lost.number) == lost.params
    assert "going on after 1 trained trials; tried again: 1" in follower.notes


def test_a_trial_of_a_killed_sweep_is_noticed_and_tried_again_once(
    root: Path, make_plan, follower, formula
) -> None:
    run_sweep(make_plan(trials=1), root, follower, run=formula)
    params = open_study(root / "sweep.db", make_plan(trials=2)).ask().params
    # and then the process is gone
    for trials in (2, 3):
        records = run_sweep(make_plan(trials=trials), root, follower, run=formula)
    assert [r.params for r in records].count(params) == 2
    assert [r.outcome for r in records if r.params == params] == [
        Outcome.INTERRUPTED,
        Outcome.COMPLETE,
    ]


def test_models_off_the_front_are_deleted_and_their_metrics_stay(
    root: Path, make_plan, follower, formula
) -> None:
    records = run_sweep(make_plan(trials=3), root, follower, run=formula)
    front = {r.number for r in front_of(records)}
    assert len(front) == 1  # one shape: quality alone decides
    for record in records:
        folder = root / "trials" / f"{record.number:04}"
        assert (folder / "best_model.pt").exists() == (record.number in front)
        assert (folder / "tokenizer.model").exists() == (record.number in front)
        assert (folder / "training_metrics.json").exists()


@pytest.mark.parametrize(
    ("searched", "changes", "words"),
    [
        (LAYERS, {}, "model.layers was 1, now it is searched in 1,2,3"),
        ("model.layers=1,2", {"training__epochs": 5}, "training.epochs was 3, now it is 5"),
    ],
)
def test_another_sweep_in_the_folder_is_refused_with_the_difference(
    root: Path, make_plan, follower, formula, searched: str, changes: dict, words: str
) -> None:
    before = ["model.layers=1,2"] if changes else ["training.learning_rate=1e-3,1e-2"]
    run_sweep(make_plan(*before, trials=0), root, follower, run=formula)
    plan = make_plan(searched, trials=1, **changes)
    with pytest.raises(OverwriteRefused) as refusal:
        run_sweep(plan, root, follower, run=formula)
    assert words in refusal.value.message


def test_overwrite_starts_afresh(root: Path, make_plan, follower, formula) -> None:
    run_sweep(make_plan(LAYERS, trials=1), root, follower, run=formula)
    plan = make_plan("model.layers=1,2", trials=1)
    records = run_sweep(plan, root, follower, overwrite=True, run=formula)
    assert [r.number for r in records] == [0]
    assert [p.name for p in (root / "trials").iterdir()] == ["0000"]


def test_a_corpus_that_has_changed_is_another_sweep(
    root: Path, make_plan, follower, formula, text_file: Path
) -> None:
    own = root.parent / "own.txt"
    own.write_text(text_file.read_text())
    plan = make_plan(trials=0, corpus__path=str(own))
    run_sweep(plan, root, follower, run=formula)
    own.write_text(text_file.read_text() + "Something else altogether.\n")
    with pytest.raises(OverwriteRefused, match=r"the file .*own\.txt has changed"):
        run_sweep(plan, root, follower, run=formula)


def test_a_failing_trial_does_not_end_the_sweep(root: Path, make_plan, follower, formula) -> None:
    def fail(task: Task) -> None:
        if len(formula.tasks) == 1:
            raise TrainingError("the loss became nan in epoch 1, step 2")

    formula.at_start = fail
    records = run_sweep(make_plan(trials=2), root, follower, run=formula)
    assert [r.outcome for r in records] == [Outcome.FAILED, Outcome.COMPLETE]
    assert records[0].reason == "the loss became nan in epoch 1, step 2"
    assert not (root / "trials" / "0000").exists()


def test_a_text_that_cannot_be_used_ends_the_sweep_at_once(
    root: Path, make_plan, follower, formula
) -> None:
    plan = make_plan(corpus__path=str(root / "none.txt"))
    with pytest.raises(CorpusError, match=r"none\.txt"):
        run_sweep(plan, root, follower, run=formula)
    assert formula.tasks == []


def test_when_nothing_is_feasible_the_sweep_gives_up(
    root: Path, make_plan, follower, formula, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_INFEASIBLE", 3)
    plan = make_plan("training.dropout=0:0.5", model__width=2048, model__layers=9)
    records = run_sweep(plan, root, follower, run=formula)
    assert [r.outcome for r in records] == [Outcome.INFEASIBLE] * 3
    assert "3 proposals in a row are infeasible" in follower.notes[-1]


def test_no_trial_begins_when_the_time_is_up(root: Path, make_plan, follower, formula) -> None:
    from dataclasses import replace

    plan = replace(make_plan(), time_limit=-1.0)
    assert run_sweep(plan, root, follower, run=formula) == []
    assert follower.notes == ["the time is up"]


def test_two_sweeps_in_one_folder_are_refused(root: Path, make_plan, follower, formula) -> None:
    def second(task: Task) -> None:
        with pytest.raises(PrerequisiteError, match="another sweep is at work"):
            run_sweep(make_plan(trials=1), root, follower, run=formula)

    formula.at_start = second
    assert len(run_sweep(make_plan(trials=1), root, follower, run=formula)) == 1


@pytest.mark.parametrize("content", [b"no database " * 99, b"other"])
def test_a_damaged_database_is_told_in_one_sentence(
    root: Path, make_plan, follower, formula, content: bytes
) -> None:
    database = root / "sweep.db"
    database.unlink()
    if content == b"other":
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE studies (something TEXT)")
    else:
        database.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read or write .*sweep\.db"):
        run_sweep(make_plan(), root, follower, run=formula)


def test_a_file_in_the_place_of_the_folder_is_told_in_one_sentence(
    root: Path, make_plan, follower
) -> None:
    (root / "file").write_text("in the way")
    with pytest.raises(PrerequisiteError, match="cannot write into"):
        run_sweep(make_plan(), root / "file", follower)
