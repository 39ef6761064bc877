"""The flags that stand for settings: their defaults, their names in messages, repetition."""

import re

import pytest

from tinytx.cli.settings_options import OPTIONS, parameter, settings_of
from tinytx.config import Settings
from tinytx.errors import UsageError


def flags(**given: object) -> dict[str, object]:
    """What click passes: None or an empty tuple for a flag that was not given."""
    empty = {"corpus_path": ()}
    return {parameter(flag): None for flag in OPTIONS} | empty | given


def test_the_defaults_that_the_help_states_are_those_of_the_settings() -> None:
    stated = {
        key: match.group(1)
        for key, attributes in OPTIONS.values()
        if (match := re.search(r"\(([\d.]+)\)\.$", attributes["help"]))
    }
    assert set(stated) >= {"training.epochs", "model.max_seq_length", "training.learning_rate"}
    for key, number in stated.items():
        section, name = key.split(".")
        assert getattr(getattr(Settings(), section), name) == float(number), key


def test_a_path_may_be_given_once_or_more_often() -> None:
    assert settings_of(None, (), flags(corpus_path=("a",))).corpus.path == "a"
    assert settings_of(None, (), flags(corpus_path=("a", "b"))).corpus.paths == ("a", "b")
    assert settings_of(None, (), flags()).corpus.paths == ()


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [("corpus", "wikipedia", "--corpus:"), ("corpus_sha256", "xyz", "--corpus-sha256:")],
)
def test_a_wrong_value_is_told_with_the_name_of_its_flag(name: str, value: str, flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        settings_of(None, (), flags(**{name: value}))
