"""Bits per byte of held-out text before any training: a scaling law fitted to runs of our own.

    bits = scale x (floor + A n^-alpha + B d^-beta + C o^gamma)

n are the weights, those that are only looked up counted at a share of theirs; d are the tokens of
the training text, what comes again in later epochs counted ever less (the form of Hoffmann et al.
2022, arXiv 2203.15556, with the repeated data of Muennighoff et al. 2023, arXiv 2305.16264); o is
how much of the text can be learned by heart: weights for each token of it, times epochs. The
scale grows with how hard a compressor finds the text (``text.py``). ``bench/law.py`` makes the
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
EPOCHS = 20.0  # what the epochs of the last term are told in


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The constants of the law."""

    floor: float
    size_factor: float
    size_power: float
    table_share: float
    """What a weight that is only looked up counts, of one in a product."""
    data_factor: float
    data_power: float
    repeats: float
    """Epochs of the same text that are worth as much as new text, in the limit."""
    vocabulary_power: float
    """How the size of the vocabulary, in thousands of pieces, changes the whole."""
    overfit_factor: float
    overfit_power: float
    """What is learned by heart: overfit_factor x (weights for each token x epochs / 20)^power."""
    scale_most: float
    scale_middle: float
    scale_power: float
    """The scale is scale_most / (1 + (scale_middle / difficulty)^scale_power). Three constants for
    three texts, of 1.6 to 2.5 bits: between those the curve is interpolated, beyond them a guess.
    """
    length_factor: float
    length_power: float
    """Bytes of a token: length_factor x pieces^length_power x difficulty^length_difficulty."""
    length_difficulty: float
    spread: float
    """The largest relative error on the runs that were kept out of the fit."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What the law looks at."""

    product_weights: int
    table_weights: int
    vocabulary: int
    unique_tokens: float
    epochs: float


def bits_per_byte(text: Text, settings: Settings, law: "Law | None" = None) -> float:
    """Predicted bits for each byte of the held-out text at the end of a run of these settings."""
    law = law or load()
    pieces = settings.tokenizer.vocab_size
    sizes = Sizes(
        product_weights=product_weights(settings),
        table_weights=settings.parameters - product_weights(settings),
        vocabulary=pieces,
        unique_tokens=text.train_bytes / bytes_per_token(text, pieces, law),
        epochs=settings.training.epochs,
    )
    return scale_of(text, law) * shape_of(sizes, law)


def scale_of(text: Text, law: Law) -> float:
    """What the text itself makes of the law."""
    fall = (law.scale_middle / text.difficulty) ** law.scale_power
    return float(law.scale_most / (1.0 + fall))


def shape_of(sizes: Sizes, law: Law) -> float:
    """The law without the text's own scale."""
    weights = (sizes.product_weights + law.table_share * sizes.table_weights) / MILLION
    again = law.repeats * (1.0 - math.exp(-(sizes.epochs - 1.0) / law.repeats))
    tokens = sizes.unique_tokens * (1.0 + again) / MILLION
    every = sizes.product_weights + sizes.table_weights
    by_heart = every / sizes.unique_tokens * sizes.epochs / EPOCHS
    bits = (
        law.floor
        + law.size_factor * weights**-law.size_power
        + law.data_factor * tokens**-law.data_power
        + law.overfit_factor * by_heart**law.overfit_power
    )
    return float(bits * (sizes.vocabulary / 1_000.0) ** law.vocabulary_power)


def product_weights(settings: Settings) -> int:
    """Weights of the matrices in every token's products: the blocks and the head."""
    model = settings.model
    block = 4 * model.width * model.width + 3 * model.width * model.hidden
    return model.layers * block + settings.tokenizer.vocab_size * model.width


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
