from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.config import ModelSettings, Settings, TrainingSettings
from tinytx.errors import PlanError
from tinytx.fit.choose import Candidate, Problem, choose, fitting
from tinytx.fit.cost import peak_bytes, run_seconds
from tinytx.fit.machine import Rates
from tinytx.fit.request import MARGIN
from tinytx.fit.target import target_of
from tinytx.fit.times import seconds_of


class Text(NamedTuple):
    """As much of a text as the stand-in law looks at."""

    train_bytes: int
    val_bytes: int


Making = Callable[..., Problem]
FEW = ("tokenizer.vocab_size", "model.pair_rows", "model.hidden", "model.max_seq_length")
"""Pinned so that an example has few shapes."""
BASE = Settings(model=ModelSettings(hidden=192, pair_rows=4_096, max_seq_length=128))


def keeps_everything(problem: Problem, one: Candidate) -> bool:
    amount = problem.amount(one.settings.tokenizer.vocab_size)
    return (
        not problem.target.excess(one.settings)
        and one.model_bytes <= problem.target.most_bytes
        and one.peak_bytes == peak_bytes(one.settings, amount, problem.rates.precision)
        and one.peak_bytes <= problem.memory
        and one.seconds == run_seconds(one.settings, amount, problem.rates)
    )


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.floats(5.0, 20_000.0),
    epochs=st.none() | st.integers(1, 40),
    device=st.sampled_from(["pi-4", "pi-5"]),
    megabytes=st.floats(0.1, 20.0),
    memory=st.floats(2e8, 2e9),
)
def test_a_plan_never_exceeds_time_bytes_or_memory(
    problem: Making,
    seconds: float,
    epochs: int | None,
    device: str,
    megabytes: float,
    memory: float,
) -> None:
    limit = msgspec.structs.replace(target_of(device), most_bytes=megabytes * 1e6)
    asked = problem(base=BASE, pinned=FEW, target=limit, memory=memory)
    try:
        found = choose(asked, seconds, epochs)
    except PlanError as refused:
        assert "\n" not in refused.message
        return
    assert found.best.seconds.total <= seconds * (1.0 - MARGIN)
    assert keeps_everything(asked, found.best)
    assert epochs is None or found.best.settings.training.epochs == epochs
    for one in found.frontier:
        assert keeps_everything(asked, one)


@settings(max_examples=10, deadline=None)
@given(st.floats(30.0, 5_000.0), st.floats(1.0, 4.0), st.none() | st.integers(1, 20))
def test_a_longer_time_never_predicts_a_worse_model(
    problem: Making, seconds: float, times: float, epochs: int | None
) -> None:
    asked = problem(base=BASE, pinned=FEW)
    try:
        short = choose(asked, seconds, epochs)
    except PlanError:
        return
    longer = choose(asked, seconds * times, epochs)
    assert longer.best.bits_per_byte <= short.best.bits_per_byte


@settings(max_examples=10, deadline=None)
@given(
    st.sets(st.sampled_from(["layers", "width", "hidden", "block_tables", "pair_rows"])),
    st.sets(st.sampled_from(["epochs", "dropout", "weight_decay", "batch_size", "learning_rate"])),
)
def test_pinned_settings_are_never_changed(
    problem: Making, shape: set[str], training: set[str]
) -> None:
    base = Settings(
        model=ModelSettings(layers=3, width=112, heads=1, hidden=100, pair_rows=99),
        training=TrainingSettings(epochs=9, dropout=0.02, weight_decay=0.7, batch_size=24),
    )
    keys = {*(f"model.{k}" for k in shape), *(f"training.{k}" for k in training)}
    pinned = (*keys, "tokenizer.vocab_size", "model.max_seq_length", "model.heads")
    best = choose(problem(base=base, pinned=pinned), 3_600.0, None).best.settings
    for key in pinned:
        section, name = key.split(".")
        assert getattr(getattr(best, section), name) == getattr(getattr(base, section), name)


def test_the_frontier_gets_better_with_time_and_holds_the_plan(problem: Making) -> None:
    found = choose(problem(base=BASE, pinned=FEW), 1_000.0, None)
    assert found.best in found.frontier
    for quick, slow in zip(found.frontier, found.frontier[1:], strict=False):
        assert quick.seconds.total < slow.seconds.total
        assert quick.bits_per_byte > slow.bits_per_byte


def test_a_slower_machine_gets_a_smaller_or_shorter_run(problem: Making, rates: Rates) -> None:
    slow = msgspec.convert(
        {
            name: {size: rate / 4 for size, rate in value.items()}
            if isinstance(value, dict)
            else value / 4
            if name not in ("threads", "dispatch", "busy") and not isinstance(value, str)
            else value
            for name, value in msgspec.structs.asdict(rates).items()
        },
        Rates,
    )
    here = choose(problem(base=BASE, pinned=FEW), 2_400.0, 20).best
    there = choose(problem(base=BASE, pinned=FEW, rates=slow), 2_400.0, 20).best
    assert there.settings.parameters < here.settings.parameters
    assert there.bits_per_byte > here.bits_per_byte


def test_a_time_that_is_too_short_names_the_least_that_is_enough(problem: Making) -> None:
    with pytest.raises(PlanError) as refused:
        choose(problem(base=BASE, pinned=FEW), 5.0, None)
    assert refused.value.exit_code == 64
    assert "5 s are too short" in refused.value.message
    least = refused.value.remedy.partition("--time ")[2].partition(",")[0]
    assert choose(problem(base=BASE, pinned=FEW), seconds_of(least), None)


def test_a_text_too_large_for_one_pass_says_that_a_part_would_do(problem: Making) -> None:
    with pytest.raises(PlanError) as refused:
        choose(problem(text=Text(10**9, 10**6), base=BASE, pinned=FEW), 600.0, None)
    assert "1 epoch" in refused.value.message
    assert "or a part of the text" in refused.value.remedy


def test_a_device_that_no_model_fits_is_named_with_what_is_closest(problem: Making) -> None:
    tiny = msgspec.structs.replace(target_of("pi-4"), most_bytes=20_000)
    with pytest.raises(PlanError, match="no model keeps the budgets of the Raspberry Pi 4 Model B"):
        choose(problem(target=tiny), 600.0, None)


def test_a_text_of_less_than_a_window_is_too_small(problem: Making) -> None:
    with pytest.raises(PlanError, match="the text is too small: 200 bytes of text to train on"):
        choose(problem(text=Text(200, 200)), 600.0, None)


def test_a_machine_without_memory_for_any_model_is_told_what_it_takes(problem: Making) -> None:
    with pytest.raises(PlanError, match="MB of memory at the least, and 50 MB may be taken"):
        choose(problem(memory=5e7), 600.0, None)


def test_where_memory_is_short_a_batch_is_computed_in_parts(problem: Making) -> None:
    base = msgspec.structs.replace(
        BASE,
        model=ModelSettings(layers=6, width=192, heads=6, hidden=512),
        tokenizer=BASE.tokenizer,
    )
    keys = (*(f"model.{k}" for k in ModelSettings.__struct_fields__), "tokenizer.vocab_size")
    whole = next(iter(fitting(problem(base=base, pinned=keys, memory=5e9))))[0]
    assert whole.training.micro_batch == 0
    need = peak_bytes(whole, problem(base=base).amount(2_048), "bfloat16")
    parts = next(iter(fitting(problem(base=base, pinned=keys, memory=0.95 * need))))[0]
    assert 0 < parts.training.micro_batch < 16
    assert 16 % parts.training.micro_batch == 0


def test_what_comes_next_says_what_it_would_cost(problem: Making) -> None:
    more_time = choose(problem(base=BASE, pinned=FEW), 900.0, 20)
    assert "the next larger" in more_time.next_larger
    assert "would take" in more_time.next_larger
    small = msgspec.structs.replace(target_of("pi-4"), most_bytes=2e6)
    more_room = choose(problem(base=BASE, pinned=FEW, target=small), 100_000.0, 20)
    assert "the limit is 2 MB" in more_room.next_larger


def test_a_shape_without_tables_is_for_a_device_that_has_no_room_for_them(problem: Making) -> None:
    pinned = frozenset({"tokenizer.vocab_size", "model.width", "model.hidden"})
    base = Settings(model=ModelSettings(width=80, hidden=192, max_seq_length=128))

    def chosen(most: float) -> ModelSettings:
        small = msgspec.structs.replace(target_of("pi-5"), most_bytes=most)
        asked = problem(base=base, pinned=pinned, target=small)
        return choose(asked, 3_600.0, None).best.settings.model

    for room, whole in ((10e6, True), (900e3, False)):
        assert bool(chosen(room).block_tables and chosen(room).pair_rows) is whole
