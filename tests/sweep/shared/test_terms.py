"""What is laid down for all workers, and how a joining one is held to it."""

import json

import msgspec
import pytest

from tinytx.errors import CorpusError, UsageError
from tinytx.sweep.shared.database import Pulse
from tinytx.sweep.shared.terms import (
    check,
    check_places,
    read_terms,
    shared_identity,
    space_of,
    terms_of,
)


def test_terms_come_back_from_the_database_as_they_were(make_plan) -> None:
    plan = make_plan(
        "model.layers=1,2", "training.learning_rate=log:1e-3:1e-1", "model.width=32:64:16"
    )
    terms = terms_of(plan, Pulse(1, 6), "u")
    again = read_terms(json.loads(json.dumps(msgspec.to_builtins(terms))), "s")
    assert again == terms
    assert space_of(again) == plan.space
    assert again.budgets == list(plan.budgets)
    check(again, shared_identity(plan), "s")


def test_terms_hold_no_folder_of_the_machine_that_began(make_plan, text_file) -> None:
    plan = make_plan()
    told = msgspec.json.encode(terms_of(plan, Pulse(), "u")).decode()
    assert str(text_file.parent) not in told
    assert f'"path":"{text_file.name}"' in told


@pytest.mark.parametrize("stored", [None, {"uid": "u"}, "text"])
def test_a_study_without_terms_is_another_programs(stored: object) -> None:
    with pytest.raises(UsageError, match="is none that this tinytx can join"):
        read_terms(stored, "s")


def test_a_text_that_is_not_here_is_asked_for(make_plan) -> None:
    settings = make_plan(corpus__path="nowhere/book.txt").settings
    with pytest.raises(CorpusError, match=r"nowhere/book\.txt is not here") as refusal:
        check_places(settings)
    assert "--corpus-path" in refusal.value.remedy


def test_a_searched_range_that_differs_is_named(make_plan) -> None:
    terms = terms_of(make_plan("model.layers=1,2"), Pulse(), "u")
    with pytest.raises(UsageError, match=r"model.layers was searched in 1,2, now it"):
        check(terms, shared_identity(make_plan("model.layers=1,3")), "s")
