"""The law of bits per byte: its formula by hand, and its word against runs it was not fitted to."""

import json
import math
import statistics
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.config import Settings, load_settings, settings_from
from tinytx.fit import law as laws
from tinytx.fit.text import Text

RUNS = json.loads((Path(__file__).parents[2] / "bench" / "law" / "runs.json").read_bytes())
TEXT = Text(train_bytes=3_000_000, val_bytes=300_000, difficulty=2.2, sampled_bytes=3_000_000)
SIMPLE = laws.Law(
    floor=0.5,
    size_factor=0.2,
    size_power=0.5,
    table_share=0.25,
    data_factor=0.1,
    data_power=1.0,
    repeats=2.0,
    vocabulary_power=0.5,
    overfit_factor=0.1,
    overfit_power=0.5,
    scale_most=4.0,
    scale_middle=2.2,
    scale_power=3.0,
    length_factor=3.0,
    length_power=0.0,
    length_difficulty=0.0,
    spread=0.01,
)


def test_the_formula_is_the_one_computed_by_hand() -> None:
    sizes = laws.Sizes(
        product_weights=3_000_000,
        table_weights=4_000_000,
        vocabulary=4_000,
        unique_tokens=1_000_000,
        epochs=3,
    )
    tokens = 1 + 2 * (1 - math.exp(-1))  # millions
    by_heart = 7 * 3 / 20  # weights for each token, times epochs
    by_hand = (0.5 + 0.2 * 4**-0.5 + 0.1 / tokens + 0.1 * by_heart**0.5) * 2
    assert laws.shape_of(sizes, SIMPLE) == pytest.approx(by_hand)
    assert laws.scale_of(TEXT, SIMPLE) == pytest.approx(2.0)


def test_a_text_far_easier_than_those_measured_still_has_some_bits() -> None:
    easy = msgspec.structs.replace(TEXT, difficulty=0.5)
    assert 0 < laws.bits_per_byte(easy, Settings()) < 1


def test_weights_of_products_are_those_of_blocks_and_head() -> None:
    settings = load_settings(assignments=["model.pair_rows=0", "model.block_tables=false"])
    norms = 5 * 80
    assert laws.product_weights(settings) == settings.parameters - norms


def test_runs_kept_out_of_the_fit_are_predicted_within_three_percent_and_mostly_one() -> None:
    held_out = [run for run in RUNS if run["held_out"]]
    assert len(held_out) >= 5
    off, guessed = [], 0.0
    for run in held_out:
        text = msgspec.convert(run["text"], Text)
        settings = settings_from(run["settings"], run["id"])
        products = laws.product_weights(settings)
        sizes = laws.Sizes(
            product_weights=products,
            table_weights=settings.parameters - products,
            vocabulary=settings.tokenizer.vocab_size,
            unique_tokens=run["unique_tokens"],
            epochs=settings.training.epochs,
        )
        law, measured = laws.load(), run["bits_per_byte"]
        bits = laws.scale_of(text, law) * laws.shape_of(sizes, law)
        off.append(abs(bits / measured - 1))
        guessed = max(guessed, abs(laws.bits_per_byte(text, settings) / measured - 1))
    assert max(off) <= 0.03
    assert statistics.median(off) <= 0.01
    assert laws.spread() == pytest.approx(max(off), abs=1e-4)
    assert guessed <= 0.03  # the tokens of the text not counted, as before a run


def test_the_runs_are_of_three_texts_and_say_which_are_kept_out() -> None:
    assert {run["corpus"] for run in RUNS} == {"novels", "plays", "built-in"}
    assert len({run["id"] for run in RUNS}) == len(RUNS)


def test_bytes_of_a_token_are_guessed_within_six_percent_on_the_texts_of_the_runs() -> None:
    for run in RUNS:
        if run["share"] < 1.0:
            continue  # cut by the vocabulary of the whole
        text = msgspec.convert(run["text"], Text)
        pieces = settings_from(run["settings"], run["id"]).tokenizer.vocab_size
        counted = text.train_bytes / run["unique_tokens"]
        assert laws.bytes_per_token(text, pieces) == pytest.approx(counted, rel=0.06)


@given(
    layers=st.integers(1, 8),
    width=st.sampled_from([64, 96, 128, 160]),
    epochs=st.integers(1, 30),
    size=st.integers(100_000, 10**9),
)
def test_more_text_never_predicts_worse_nor_more_of_anything_but_for_what_is_learned_by_heart(
    layers: int, width: int, epochs: int, size: int
) -> None:
    by_understanding = msgspec.structs.replace(laws.load(), overfit_factor=0.0)

    def bits(layers: int, width: int, epochs: int, size: int, law: laws.Law) -> float:
        flags = {"model.layers": layers, "model.width": width, "training.epochs": epochs}
        settings = load_settings(flags={**flags, "model.heads": width // 32})
        return laws.bits_per_byte(msgspec.structs.replace(TEXT, train_bytes=size), settings, law)

    whole = bits(layers, width, epochs, size, laws.load())
    assert bits(layers, width, epochs, 2 * size, laws.load()) <= whole
    here = bits(layers, width, epochs, size, by_understanding)
    assert bits(layers + 1, width, epochs, size, by_understanding) <= here
    assert bits(layers, width + 32, epochs, size, by_understanding) <= here
    assert bits(layers, width, epochs + 1, size, by_understanding) <= here
    assert here < whole
