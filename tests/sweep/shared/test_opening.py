"""Beginning and finding a search, and telling its workers apart."""

import pytest

from tests.sweep.shared.conftest import PULSE
from tinytx.errors import OverwriteRefused, UsageError
from tinytx.sweep.shared.database import Pulse
from tinytx.sweep.shared.opening import (
    begin,
    differences,
    find,
    replace_name,
    take_folder,
    this_worker,
)
from tinytx.sweep.shared.study import Worker
from tinytx.sweep.shared.terms import terms_of


def test_a_search_that_nobody_began_cannot_be_joined(server, make_plan, follower) -> None:
    with pytest.raises(UsageError, match="there is no search 's' in postgresql://tx@server/tx"):
        find(server, "s")
    begin(server, "other", make_plan(), PULSE, follower)
    with pytest.raises(UsageError, match="it has 'other'"):
        find(server, "s")


def test_a_search_keeps_the_signs_of_life_that_it_began_with(server, make_plan, follower) -> None:
    first = begin(server, "s", make_plan(trials=5), PULSE, follower)
    second = begin(server, "s", make_plan(trials=5), Pulse(10, 60), follower)
    assert (first, second.pulse) == (second, PULSE)
    assert follower.notes == ["the search keeps its --grace of 600s"]
    assert find(server, "s") == (first, 5)


def test_a_folder_keeps_its_worker_and_a_copy_on_another_machine_is_another(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take_folder(tmp_path, "u")
    assert take_folder(tmp_path, "u") == first
    monkeypatch.setattr("tinytx.sweep.shared.opening.socket.gethostname", lambda: "elsewhere")
    assert take_folder(tmp_path, "u") != first


def test_a_damaged_note_of_the_worker_is_told(tmp_path) -> None:
    (tmp_path / "shared.json").write_text("{")
    with pytest.raises(OverwriteRefused, match="is damaged"):
        take_folder(tmp_path, "u")


def test_every_worker_has_a_name_of_its_own() -> None:
    pi = Worker(id="3", name="pi")
    assert replace_name(pi, {"pc"}).name == "pi"
    assert replace_name(pi, {"pi", "pi-2"}).name == "pi-3"


def test_versions_that_differ_are_named_and_equal_ones_are_not(make_plan) -> None:
    me = this_worker("1", "anna")
    terms = terms_of(make_plan(), PULSE, "u")
    assert differences(me, terms, [me]) == []
    other = Worker(id="2", name="ben", tinytx="9.9", optuna=me.optuna)
    assert differences(me, terms, [other]) == [f"anna has tinytx {me.tinytx}; ben has 9.9"]
