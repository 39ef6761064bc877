import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.config import (
    ModelSettings,
    Settings,
    TokenizerSettings,
    TrainingSettings,
    as_dict,
    settings_from,
)
from tinytx.fit.shapes import REGULARISATION, regularised, shapes

MEGABYTES = 2_837_761


def test_every_shape_is_one_that_trains() -> None:
    found = list(shapes(Settings(), frozenset(), MEGABYTES))
    assert all(one.model.block_tables and one.model.pair_rows for one in found)
    bare = list(shapes(Settings(), frozenset(), MEGABYTES, bare=True))
    assert not any(one.model.block_tables and one.model.pair_rows for one in bare)
    assert {one.model.layers for one in bare} == {2}
    found += bare
    assert len(found) > 500
    for one in found:
        settings_from(as_dict(one), "a shape")  # heads divide the width, and so on
        assert 20 <= one.model.width / one.model.layers <= 48


def test_the_shapes_that_did_well_are_among_them() -> None:
    found = {
        (s.tokenizer.vocab_size, s.model.layers, s.model.width, s.model.heads, s.model.hidden)
        for s in shapes(Settings(), frozenset(), MEGABYTES)
    }
    known = {(2_048, 2, 80, 1, 160), (2_048, 4, 128, 2, 256), (4_096, 5, 160, 5, 432)}
    assert known <= found


def test_a_small_text_gets_few_pieces() -> None:
    for size, most in ((10_000, 320), (250_000, 512), (410_000, 1_024), (MEGABYTES, 4_096)):
        assert max(s.tokenizer.vocab_size for s in shapes(Settings(), frozenset(), size)) == most


@settings(max_examples=20, deadline=None)
@given(
    st.sets(st.sampled_from(["vocab_size", "layers", "width", "hidden", "pair_rows", "heads"])),
)
def test_what_is_pinned_never_changes(names: set[str]) -> None:
    model = ModelSettings(layers=7, width=112, heads=1, hidden=300, pair_rows=77)
    base = Settings(tokenizer=TokenizerSettings(vocab_size=1_111), model=model)
    pinned = {n: "tokenizer.vocab_size" if n == "vocab_size" else f"model.{n}" for n in names}
    for one in shapes(base, frozenset(pinned.values()), MEGABYTES):
        for key in pinned.values():
            section, name = key.split(".")
            ours, theirs = (getattr(getattr(s, section), name) for s in (one, base))
            assert ours == theirs


def test_everything_pinned_leaves_the_one_shape() -> None:
    base = Settings(model=ModelSettings(layers=9, width=48, heads=3))
    keys = {f"model.{key}" for key in ModelSettings.__struct_fields__}
    assert list(shapes(base, frozenset({*keys, "tokenizer.vocab_size"}), MEGABYTES)) == [base]


@given(st.integers(1_000, 10**8), st.integers(1, 40), st.integers(1, 40))
def test_a_model_that_sees_its_text_more_often_is_held_back_more(
    tokens: int, some: int, more: int
) -> None:
    few, many = sorted((some, more))
    weak, strong = (regularised(Settings(), frozenset(), tokens, n).training for n in (few, many))
    for name in REGULARISATION:
        assert getattr(weak, name) <= getattr(strong, name)


def test_regularisation_meets_the_points_that_were_tried() -> None:
    tried = regularised(Settings(), frozenset(), 964_000, 20).training
    assert (tried.weight_decay, tried.dropout, tried.pair_dropout) == (0.1, 0.1, 0.2)
    large = Settings(
        tokenizer=TokenizerSettings(vocab_size=4_096),
        model=ModelSettings(layers=5, width=160, heads=5, hidden=432),
    )
    strong = regularised(large, frozenset(), 850_000, 10).training
    assert strong.weight_decay == pytest.approx(0.3)
    assert strong.dropout == pytest.approx(0.15)


def test_some_epochs_end_with_a_high_rate_where_the_last_weights_are_averaged() -> None:
    for average, epochs, end in ((0.3, 20, 0.25), (0.3, 3, 0.25), (0.3, 2, 0.01), (0.0, 20, 0.01)):
        base = Settings(training=TrainingSettings(average=average))
        found = regularised(base, frozenset(), 1_000_000, epochs).training
        assert found.min_learning_rate == end
        assert found.learning_rate == base.training.learning_rate


@pytest.mark.parametrize(
    ("width", "tokens", "rate", "end"),
    [  # the best of those that were tried, or as good as the best
        (96, 245_759, 0.02, 0.012),
        (192, 245_759, 0.02, 0.012),
        (128, 489_175, 0.0105, 0.006),
        (96, 964_312, 0.012, 0.0031),
        (192, 843_161, 0.0085, 0.0036),
        (96, 100_000_000, 0.012, 0.00012),
    ],
)
def test_rates_fall_with_the_text_and_on_a_larger_one_with_the_width(
    width: int, tokens: int, rate: float, end: float
) -> None:
    shape = Settings(model=ModelSettings(width=width, heads=width // 32))
    found = regularised(shape, frozenset(), tokens, 10).training
    assert found.learning_rate == pytest.approx(rate, rel=0.01)
    assert found.learning_rate * found.min_learning_rate == pytest.approx(end, rel=0.03)


def test_pinned_regularisation_stays() -> None:
    pinned = frozenset(f"training.{name}" for name in REGULARISATION)
    found = regularised(Settings(), pinned, 10_000, 40).training
    assert [getattr(found, n) for n in REGULARISATION] == [
        getattr(Settings().training, n) for n in REGULARISATION
    ]
