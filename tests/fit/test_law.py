"""The law of bits per byte: its formula by hand, and its word against runs it was not fitted to."""

import json
import math
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
    scale_slope=2.0,
    scale_offset=1.2,
    scale_power=1.0,
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
    by_hand = (0.5 + 0.2 * 4**-0.5 + 0.1 / tokens) * 2
    assert laws.shape_of(sizes, SIMPLE) == pytest.approx(by_hand)
    assert laws.scale_of(TEXT, SIMPLE) == pytest.approx(2.0)


def test_a_text_far_easier_than_those_measured_still_has_some_bits() -> None:
    easy = msgspec.structs.replace(TEXT, difficulty=0.5)
    assert 0 < laws.bits_per_byte(easy, Settings()) < 1


def test_weights_of_products_are_those_of_blocks_and_head() -> None:
    settings = load_settings(assignments=["model.pair_rows=0", "model.block_tables=false"])
    norms = 5 * 80
    assert laws.product_weights(settings) == settings.parameters - norms


def test_runs_kept_out_of_the_fit_are_predicted_within_two_percent() -> None:
    held_out = [run for run in RUNS if run["held_out"]]
    assert len(held_out) >= 5
    worst = 0.0
    for run in held_out:
        text = msgspec.convert(run["text"], Text)
        settings = settings_from(run["settings"], run["id"])
        predicted = laws.bits_per_byte(text, settings)
        worst = max(worst, abs(predicted / run["bits_per_byte"] - 1))
    assert worst <= 0.02
    assert laws.spread() == pytest.approx(worst, abs=0.005)  # tokens are counted there, not guessed


def test_the_runs_are_of_three_texts_and_say_which_are_kept_out() -> None:
    assert {run["corpus"] for run in RUNS} == {"novels", "plays", "built-in"}
    assert len({run["id"] for run in RUNS}) == len(RUNS)


def test_bytes_of_a_token_are_guessed_within_six_percent_on_the_texts_of_the_runs() -> None:
    for run in RUNS:
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
def test_more_of_anything_never_predicts_worse(
    layers: int, width: int, epochs: int, size: int
) -> None:
    def bits(layers: int, width: int, epochs: int, size: int) -> float:
        flags = {"model.layers": layers, "model.width": width, "training.epochs": epochs}
        settings = load_settings(flags={**flags, "model.heads": width // 32})
        return laws.bits_per_byte(msgspec.structs.replace(TEXT, train_bytes=size), settings)

    here = bits(layers, width, epochs, size)
    assert bits(layers + 1, width, epochs, size) <= here
    assert bits(layers, width + 32, epochs, size) <= here
    assert bits(layers, width, epochs + 1, size) <= here
    assert bits(layers, width, epochs, 2 * size) <= here
