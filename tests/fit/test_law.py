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
    size_factor=0.4,
    size_power=0.5,
    table_factor=0.1,
    table_power=1.0,
    data_factor=0.3,
    data_power=1.0,
    vocabulary_power=0.5,
    heart_factor=0.2,
    unlike_from=1.2,
    again_factor=0.05,
    scale_most=8.0,
    scale_middle=2.2,
    scale_power=3.0,
    length_factor=3.0,
    length_power=0.0,
    length_difficulty=0.0,
    spread=0.01,
)


def test_the_formula_is_the_one_computed_by_hand() -> None:
    sizes = laws.Sizes(
        block_weights=4_000_000,
        table_weights=400_000,
        all_weights=6_000_000,
        vocabulary=4_000,
        unique_tokens=3_000_000,
        epochs=2,
    )
    left_over = 0.4 / 2 + 0.1 / 0.5  # blocks, tables
    by_heart = 0.2 * 1.0 * math.log(1 + 6 / 3 * 2 / 20)
    again = 0.05 * 2 / 20
    by_hand = (4.0 * (1 + left_over) + 2.0 * 0.3 / 6 + by_heart + again) * 2
    assert laws.scale_of(2.2, SIMPLE) == pytest.approx(4.0)
    assert laws.predicted(2.2, sizes, SIMPLE) == pytest.approx(by_hand)


def test_of_a_text_like_the_training_text_weights_lose_nothing_by_heart() -> None:
    def bits(difficulty: float, pairs: int) -> float:
        settings = load_settings(flags={"training.epochs": 80, "model.pair_rows": pairs})
        return laws.predicted(difficulty, laws.sizes_of(settings, 1e5), SIMPLE)

    assert bits(1.1, 200_000) < bits(1.1, 100_000)
    assert bits(2.4, 200_000) > bits(2.4, 100_000)


def test_a_text_far_easier_than_those_measured_still_has_some_bits() -> None:
    easy = msgspec.structs.replace(TEXT, difficulty=0.5)
    assert 0 < laws.bits_per_byte(easy, Settings()) < 1


def test_all_weights_but_embedding_and_norms_are_counted_once() -> None:
    settings = load_settings(assignments=["model.layers=3"])
    sizes = laws.sizes_of(settings, 1e6)
    embedding_and_norms = (2_048 + 7) * 80
    assert sizes.block_weights == 3 * (4 * 80 * 80 + 3 * 80 * 160)
    assert sizes.table_weights == (3 * 2_048 + 16_384) * 80
    assert sum((sizes.block_weights, sizes.table_weights, embedding_and_norms)) == (
        settings.parameters
    )


def test_runs_kept_out_of_the_fit_are_predicted_within_two_percent() -> None:
    held_out = [run for run in RUNS if run["held_out"]]
    assert len(held_out) >= 8
    assert {run["corpus"] for run in held_out} == {"novels", "plays", "built-in"}
    off, guessed = [], 0.0
    for run in held_out:
        text = msgspec.convert(run["text"], Text)
        settings = settings_from(run["settings"], run["id"])
        sizes = laws.sizes_of(settings, run["unique_tokens"])
        law, measured = laws.load(), run["bits_per_byte"]
        off.append(abs(laws.predicted(text.difficulty, sizes, law) / measured - 1))
        guessed = max(guessed, abs(laws.bits_per_byte(text, settings) / measured - 1))
    assert max(off) <= 0.02
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
    epochs=st.integers(1, 80),
    size=st.integers(100_000, 10**9),
    difficulty=st.floats(1.0, 4.0),
)
def test_more_text_never_predicts_worse_nor_more_of_anything_but_for_what_is_learned_by_heart(
    layers: int, width: int, epochs: int, size: int, difficulty: float
) -> None:
    by_understanding = msgspec.structs.replace(laws.load(), heart_factor=0.0, again_factor=0.0)

    def bits(layers: int, width: int, epochs: int, size: int, law: laws.Law) -> float:
        flags = {"model.layers": layers, "model.width": width, "training.epochs": epochs}
        settings = load_settings(flags={**flags, "model.heads": width // 32})
        text = msgspec.structs.replace(TEXT, train_bytes=size, difficulty=difficulty)
        return laws.bits_per_byte(text, settings, law)

    whole = bits(layers, width, epochs, size, laws.load())
    assert bits(layers, width, epochs, 2 * size, laws.load()) <= whole
    here = bits(layers, width, epochs, size, by_understanding)
    assert bits(layers + 1, width, epochs, size, by_understanding) <= here
    assert bits(layers, width + 32, epochs, size, by_understanding) <= here
    assert bits(layers, width, epochs + 1, size, by_understanding) <= here
    assert here <= whole
