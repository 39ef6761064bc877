import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.config import ModelSettings, Settings, load_settings
from tinytx.errors import PlanError, UsageError
from tinytx.fit.choose import Problem
from tinytx.fit.plan import Plan, found, read_plan, to_toml
from tinytx.fit.request import MARGIN, SHORTENED_MARGIN, Request, request_of

Making = Callable[..., Problem]
FEW = ("tokenizer.vocab_size", "model.pair_rows", "model.hidden", "model.max_seq_length")
BASE = Settings(model=ModelSettings(hidden=192, pair_rows=4_096, max_seq_length=128))


@pytest.fixture(scope="module")
def plan(problem: Making) -> Plan:
    return found(problem(base=BASE, pinned=FEW), Request(seconds=600.0), 0.02).plan


def test_a_plan_is_read_back_as_it_was_written(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(to_toml(plan), encoding="utf-8")
    assert read_plan(file) == plan


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4),
    number=st.floats(0.0, 1e9),
    layers=st.integers(1, 9),
)
def test_whatever_a_plan_says_survives_its_file(
    plan: Plan,
    words: list[str],
    number: float,
    layers: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model = msgspec.structs.replace(plan.settings.model, layers=layers)
    changed = msgspec.structs.replace(
        plan,
        reasons=words,
        next_larger=" ".join(words),
        seconds=number,
        settings=msgspec.structs.replace(plan.settings, model=model),
    )
    file = tmp_path_factory.mktemp("plans") / "plan.toml"
    file.write_text(to_toml(changed), encoding="utf-8", newline="")
    assert read_plan(file) == changed


def test_config_reads_a_plan_and_trains_what_it_says(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(to_toml(plan), encoding="utf-8")
    assert load_settings(file) == plan.settings
    assert load_settings(file, ["training.epochs=3"]).training.epochs == 3


@pytest.mark.parametrize("schema", ["2", '"1"', "0"])
def test_a_plan_of_another_version_is_refused_with_one_sentence(
    plan: Plan, tmp_path: Path, schema: str
) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(to_toml(plan).replace("schema = 1", f"schema = {schema}"), encoding="utf-8")
    for read in (load_settings, read_plan):
        with pytest.raises(UsageError) as refused:
            read(file)
        assert "a plan of schema" in refused.value.message
        assert "reads schema 1" in refused.value.message
        assert "tinytx plan" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nepochs = 3\n", "no table [plan]"),
        ("[plan]\nschema = 1\n", "missing required field"),
        ("plan = 3\n", "no table [plan]"),
    ],
)
def test_what_is_no_whole_plan_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_plan(file)
    assert words in refused.value.message


def test_a_plan_says_why(plan: Plan) -> None:
    told = "\n".join(plan.reasons)
    for words in ("tokens/s", "to compile", "10 MB in int8", "weights for each token", "2%"):
        assert words in told
    assert "kept as given: model.hidden, model.max_seq_length, model.pair_rows" in told
    assert "less a margin of 5%" in told
    assert plan.seconds <= (1.0 - SHORTENED_MARGIN) * plan.seconds_asked
    document = tomllib.loads(to_toml(plan))
    assert document["plan"]["model_bytes"] == plan.model_bytes <= 10_000_000


def test_the_run_is_held_to_the_time_that_was_asked_for(plan: Plan) -> None:
    assert plan.settings.training.time_limit == 600.0


def test_without_a_time_it_is_the_training_budget(tmp_path: Path) -> None:
    assert request_of(None) == Request(seconds=600.0, epochs=20, asked=False)
    file = tmp_path / "quick.toml"
    file.write_text('schema = 1\n[budget.training_20_epochs]\nunder = 90\nunit = "s"\n')
    assert request_of(None, "pi-4", file).seconds == 90.0
    assert request_of("10m", "pi-4") == Request(seconds=600.0, device="pi-4")


def test_where_the_budgets_epochs_do_not_fit_fewer_are_taken_and_it_is_said(
    problem: Making,
) -> None:
    asked = problem(base=BASE, pinned=FEW)
    few = found(asked, Request(seconds=60.0, epochs=20, asked=False), 0.02).plan
    assert few.settings.training.epochs < 20
    assert "no model does 20 epochs within 60 s" in few.reasons[0]
    assert few.seconds <= 60.0 * (1.0 - MARGIN)


def test_where_nothing_fits_the_budget_the_quickest_is_trained_without_a_limit(
    problem: Making,
) -> None:
    asked = problem(base=BASE, pinned=FEW)
    long = found(asked, Request(seconds=5.0, epochs=20, asked=False), 0.02).plan
    assert "the quickest, takes longer" in long.reasons[0]
    assert long.settings.training.time_limit == 0.0
    with pytest.raises(PlanError):
        found(asked, Request(seconds=5.0, epochs=20), 0.02)


def test_a_time_limit_that_the_user_gave_stays(problem: Making) -> None:
    training = msgspec.structs.replace(BASE.training, time_limit=50.0)
    base = msgspec.structs.replace(BASE, training=training)
    pinned = (*FEW, "training.time_limit")
    plan = found(problem(base=base, pinned=pinned), Request(seconds=600.0), 0.02).plan
    assert plan.settings.training.time_limit == 50.0
