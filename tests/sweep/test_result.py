"""The command that trains a trial in full gives back its settings."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.config import load_settings
from tinytx.sweep.records import Outcome, Record
from tinytx.sweep.result import assignable, full_command


def test_the_full_command_has_the_trials_settings_and_the_usual_epochs(make_plan) -> None:
    plan = make_plan("model.layers=2,3", "training.learning_rate=log:1e-3:1e-1")
    params = {"model.layers": 3, "training.learning_rate": 0.0123456789}
    record = Record(number=0, outcome=Outcome.COMPLETE, params=params)
    words = shlex.split(full_command(plan, Path("my sweep"), record))
    assert words[:4] == ["tinytx", "train", "--output-dir", "my sweep/full"]
    assert words[-2:] == ["--preset", "balanced"]
    found = load_settings(assignments=words[5:-2:2])
    assert found.model == plan.settings_with(params).model
    assert found.corpus == plan.settings.corpus
    assert found.training.learning_rate == 0.0123456789
    assert found.training.epochs == 20


def test_epochs_that_were_searched_are_part_of_it(make_plan) -> None:
    record = Record(number=0, outcome=Outcome.COMPLETE, params={"training.epochs": 5})
    plan = make_plan("training.epochs=3,5")
    assert "training.epochs=5" in full_command(plan, Path("x"), record)


@pytest.mark.parametrize("path", ["a.txt", "true", "12", " a ", "a'b", 'a"b', "[1]", "a#b", ""])
def test_a_text_survives_being_assigned(path: str) -> None:
    assert _again(path) == path


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8))
def test_any_text_survives_being_assigned(path: str) -> None:
    assert _again(path) == path


def test_several_paths_survive_being_assigned() -> None:
    assert _again(["a.txt", "b c.txt"]) == ("a.txt", "b c.txt")


def _again(value: object) -> object:
    return load_settings(assignments=[f"corpus.path={assignable(value)}"]).corpus.path
