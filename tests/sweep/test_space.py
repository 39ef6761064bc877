"""The syntax of ranges, and what is wrong with the others."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.errors import UsageError
from tinytx.sweep.space import Choices, Dimension, Range, Space, load_space, parse, same

GOOD: list[tuple[str, str, Dimension, tuple[object, ...] | None]] = [
    ("model.layers", "2,3,4", Choices((2, 3, 4)), (2, 3, 4)),
    ("model.layers", "2:4", Range(2, 4, 1, False, True), (2, 3, 4)),
    ("model.width", "96:192:32", Range(96, 192, 32, False, True), (96, 128, 160, 192)),
    ("model.width", "96:191:32", Range(96, 160, 32, False, True), (96, 128, 160)),
    ("tokenizer.vocab_size", "log:500:4000", Range(500, 4000, 1, True, True), None),
    ("training.learning_rate", "log:3e-3:3e-2", Range(0.003, 0.03, 0, True, False), None),
    ("training.dropout", "0:0.5", Range(0, 0.5, 0, False, False), None),
    ("training.dropout", "0.1:0.3:0.1", Range(0.1, 0.3, 0.1, False, False), (0.1, 0.2, 0.3)),
    ("training.dropout", "0, 0.1", Choices((0, 0.1)), (0, 0.1)),
    ("training.optimizer", "muon,adamw", Choices(("muon", "adamw")), ("muon", "adamw")),
    ("corpus.url", "http://a/b.txt,http://c", Choices(("http://a/b.txt", "http://c")), None),
]


@pytest.mark.parametrize(("key", "text", "dimension", "values"), GOOD)
def test_a_range_or_a_list_is_understood(
    key: str, text: str, dimension: Dimension, values: tuple[object, ...] | None
) -> None:
    found = parse(key, text, "--search")
    assert found == dimension
    if values is not None:
        assert found.values == values
    assert parse(key, str(found), "--search") == found


BAD = [
    ("model.layer=2,3", "unknown setting 'model.layer'; did you mean 'model.layers'"),
    ("modle.layers=2,3", "--search: unknown setting 'modle'; did you mean 'model'"),
    ("layers=2,3", "not of the form section.key=values"),
    ("model.layers", "not of the form section.key=values"),
    ("model.layers=3", "model.layers: one value is nothing to search"),
    ("model.layers=", "model.layers: one value is nothing to search"),
    ("model.layers=2,2", "model.layers: 2 is there twice"),
    ("model.layers=0,2", "model.layers: expected `int` >= 1"),
    ("model.layers=0:2", "model.layers: expected `int` >= 1"),
    ("model.layers=two,three", "model.layers: expected `int`"),
    ("model.layers=1.5:3", "model.layers takes whole numbers"),
    ("model.layers=4:2", "fewer than two values"),
    ("model.layers=2:2", "fewer than two values"),
    ("model.layers=2:4:8", "fewer than two values"),
    ("model.layers=1:4:0", "the step must be above 0"),
    ("model.layers=1:4:-1", "the step must be above 0"),
    ("model.layers=1:2:3:4", "'1:2:3:4' is no range"),
    ("model.layers=:4", "':4' is no range"),
    ("training.learning_rate=log:0:1", "starts above 0"),
    ("training.learning_rate=log:1e-3:1e-2:1e-3", "takes no step"),
    ("training.learning_rate=ln:1e-3:1e-2", "is no range"),
    ("training.learning_rate=1e-3:nan", "is no range"),
    ("training.learning_rate=1e-3:1e999", "too large"),
    ("training.dropout=0:1", "training.dropout: expected `float` < 1.0"),
    ("training.optimizer=muon,sgd", "training.optimizer: invalid enum value 'sgd'"),
    ("model.layers=[1],[2]", "[1] is not one value"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_anything_else_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        load_space([text])
    assert words in refusal.value.message
    assert "--search" in refusal.value.message


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to search"):
        load_space([])


def test_a_file_may_hold_the_search_and_a_flag_wins_over_it(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        "[model]\nheads = 2\n[search]\nmodel.layers = [1, 2]\n"
        '"training.learning_rate" = "log:1e-3:1e-2"\nmodel.width = "32:64:16"\n'
    )
    space = load_space(["model.layers=3,4"], file)
    assert {key: str(d) for key, d in space.dimensions.items()} == {
        "model.layers": "3,4",
        "model.width": "32:64:16",
        "training.learning_rate": "log:0.001:0.01",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("search = 3", "[search] must be a table"),
        ("[search]\nmodel.layer = [1, 2]", "did you mean 'model.layers'"),
        ("[search]\nmodel.layers = 3", "one value is nothing to search"),
        ("[search]\nlayers = [1, 2]", "unknown setting 'layers'"),
        ("[search]\nmodel.layers = [[1], [2]]", "[1] is not one value"),
        ("[search]\nmodel.layers = [1, 2.5]", "expected `int`"),
    ],
)
def test_a_wrong_search_table_is_told_with_its_file(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(content)
    with pytest.raises(UsageError) as refusal:
        load_space([], file)
    assert words in refusal.value.message
    assert str(file) in refusal.value.message


def test_the_combinations_of_a_countable_space_are_all_different() -> None:
    space = load_space(["model.layers=1:3", "training.dropout=0,0.1", "model.width=32:64:16"])
    assert space.size == 18
    assert len({same(space.combination(i)) for i in range(18)}) == 18


def test_a_space_with_a_range_of_any_number_cannot_be_counted() -> None:
    assert load_space(["training.dropout=0:0.5", "model.layers=1,2"]).size is None
    assert load_space(["corpus.seed=1:1000000"]).size is None


@given(st.floats(-1e3, 1e3), st.integers(1, 50), st.floats(0.001, 10))
def test_the_values_of_a_range_lie_within_it_at_equal_distances(
    low: float, count: int, step: float
) -> None:
    values = Range(low, low + count * step, step, False, False).values
    assert values is not None
    numbers = [float(str(value)) for value in values]
    assert numbers[0] == low
    assert max(numbers) <= low + count * step + 1e-9
    assert all(abs(b - a - step) < 1e-9 for a, b in pairwise(numbers))


def test_a_combination_is_the_same_however_it_was_computed() -> None:
    assert same({"a": 0.1 + 0.2, "b": 1}) == same({"b": 1, "a": 0.3})
    assert same({"a": 0.3}) != same({"a": 0.30001})
    assert Space({}).size == 1
