"""Bits per byte of held-out text before any training: a scaling law fitted to runs of our own.

    bits = V^v x (S x (1 + A n^-alpha + T (t + 0.1)^-tau) + S^0.5 x B (d e)^-beta
                + O m ln(1 + h) + P e / 20)

V are the pieces, in thousands; n the weights of the blocks and t those that are only looked up, in
millions; d the tokens of the training text, in millions, and e the epochs. What size and text leave
over adds up (the form of Hoffmann et al. 2022, arXiv 2203.15556). S, the scale, grows with how hard
the text is (``text.py``). The last two terms are what is learned by heart instead. h are weights
for each token times epochs / 20, and m what the difficulty has above ``unlike_from``, which it has
where the held-out text is unlike the training text. And every further pass costs a little on any
text, so that there is a number of epochs beyond which none is better. ``bench/law.py`` makes the
runs and fits the constants, which lie in ``law.json`` with their error on runs kept out of the fit.
"""

import json
import math
from functools import cache
from pathlib import Path

import msgspec

from tinytx.config import Settings
from tinytx.fit.text import Text

CONSTANTS = Path(__file__).with_name("law.json")
MILLION = 1e6
NO_TABLES = 0.1  # million weights that a model without tables counts for
EPOCHS = 20.0  # what the epochs of the last terms are told in


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The constants of the law."""

    size_factor: float
    size_power: float
    """What the blocks leave over: size_factor x weights^-size_power."""
    table_factor: float
    table_power: float
    """What the tables leave over: table_factor x (weights + 0.1)^-table_power."""
    data_factor: float
    data_power: float
    """What is still to be seen: data_factor x (tokens x epochs)^-data_power."""
    vocabulary_power: float
    """How the size of the vocabulary, in thousands of pieces, changes the whole."""
    heart_factor: float
    unlike_from: float
    """What is learned by heart: heart_factor x (difficulty - unlike_from, if more than 0) x
    ln(1 + weights for each token x epochs / 20)."""
    again_factor: float
    """And by further passes: again_factor x epochs / 20."""
    scale_most: float
    scale_middle: float
    scale_power: float
    """The scale is scale_most / (1 + (scale_middle / difficulty)^scale_power). Fitted to
    texts of 1.6 to 2.9 bits: between those the curve is interpolated, beyond them a guess.
    """
    length_factor: float
    length_power: float
    """Bytes of a token: length_factor x pieces^length_power x difficulty^length_difficulty."""
    length_difficulty: float
    spread: float
    """The largest relative error on the runs that were kept out of the fit."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What the law looks at."""

    block_weights: int
    table_weights: int
    all_weights: int
    vocabulary: int
    unique_tokens: float
    epochs: float


def bits_per_byte(text: Text, settings: Settings, law: "Law | None" = None) -> float:
    """Predicted bits for each byte of the held-out text at the end of a run of these settings."""
    law = law or load()
    unique_tokens = text.train_bytes / bytes_per_token(text, settings.tokenizer.vocab_size, law)
    return predicted(text.difficulty, sizes_of(settings, unique_tokens), law)


def sizes_of(settings: Settings, unique_tokens: float) -> Sizes:
    """What the law looks at of a run over a text of so many tokens."""
    model, pieces = settings.model, settings.tokenizer.vocab_size
    return Sizes(
        block_weights=model.layers * (4 * model.width**2 + 3 * model.width * model.hidden),
        table_weights=(model.layers * model.block_tables * pieces + model.pair_rows) * model.width,
        all_weights=settings.parameters,
        vocabulary=pieces,
        unique_tokens=unique_tokens,
        epochs=settings.training.epochs,
    )


def predicted(difficulty: float, sizes: Sizes, law: Law) -> float:
    """The law itself."""
    blocks, tables = sizes.block_weights / MILLION, sizes.table_weights / MILLION
    tokens = sizes.unique_tokens / MILLION
    left_over = (
        law.size_factor * blocks**-law.size_power
        + law.table_factor * (tables + NO_TABLES) ** -law.table_power
    )
    unseen = law.data_factor * (tokens * sizes.epochs) ** -law.data_power
    unlike = max(0.0, difficulty - law.unlike_from)
    by_heart = sizes.all_weights / sizes.unique_tokens * sizes.epochs / EPOCHS
    scale = scale_of(difficulty, law)
    bits = (
        scale * (1.0 + left_over)
        + scale**0.5 * unseen
        + law.heart_factor * unlike * math.log1p(by_heart)
        + law.again_factor * sizes.epochs / EPOCHS
    )
    return float(bits * (sizes.vocabulary / 1_000.0) ** law.vocabulary_power)


def scale_of(difficulty: float, law: Law) -> float:
    """What the text itself makes of the law."""
    fall = (law.scale_middle / difficulty) ** law.scale_power
    return float(law.scale_most / (1.0 + fall))


def bytes_per_token(text: Text, pieces: int, law: "Law | None" = None) -> float:
    """Bytes of this text that a token of such a vocabulary has, on average."""
    law = law or load()
    length = law.length_factor * pieces**law.length_power
    return float(length * text.difficulty**law.length_difficulty)


def spread() -> float:
    """The largest relative error of the law on runs that it was not fitted to."""
    return load().spread


@cache
def load() -> Law:
    """The constants that the package carries."""
    return msgspec.convert(json.loads(CONSTANTS.read_bytes()), Law)
