"""The shapes that a plan chooses from, and how strongly each is regularised.

Width grows with depth as in the shapes that did well (docs/log/model.md): the law of quality counts
weights and does not see proportions, so no others are offered. What the user has set stays, and the
proportions are then free.
"""

import itertools
import math
from collections.abc import Iterator

import msgspec

from tinytx.config import HEAD_MULTIPLE, ModelSettings, Settings

VOCABULARIES = (2_048, 3_072, 4_096)
BYTES_OF_PIECE = 400
"""Of text for each piece of the vocabulary: fewer leave most pieces without examples."""
SMALL_VOCABULARIES = (320, 512, 768, 1_024)
"""For a text that has not enough for any of those: the largest that it has enough for."""
PROPORTIONS = {
    2: (48, 64, 80, 96),
    3: (64, 80, 96, 128),
    4: (96, 128, 144, 160),
    5: (128, 160, 192),
    6: (160, 192, 224),
    8: (192, 224),
}
"""Layers to widths. The largest run behind the law had 8 layers of 192: two thirds as many weights
again in its blocks is as far as it is trusted."""
WIDTHS = tuple(sorted({width for widths in PROPORTIONS.values() for width in widths}))
HIDDEN = (2.0, 2.7)
"""Of the width, to the next multiple of 16."""
CONTEXTS = (256,)
"""All runs behind the law had this one: it cannot tell what a shorter window would cost."""
PAIR_ROWS = (0, 2_048, 4_096, 8_192, 16_384)
BARE_LAYERS = 2
"""Up to which a shape may have no tables or no pairs, and only where none with both fits. In every
run of equal size these were better (the log has five layers of 128 without: 1.651 after 6 epochs,
four with: 1.617 after 5), and the law has seen one without, of two layers."""
EPOCHS = (*range(1, 13), 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 60, 70, 80)
LEAST_STEPS = 100
"""Of a run that is worth its name: the warm-up alone has so many."""

REGULARISATION = (
    "weight_decay",
    "table_weight_decay",
    "dropout",
    "pair_dropout",
    "min_learning_rate",
    "learning_rate",
)
END = 0.25
"""Where the learning rate ends, of its usual peak, in a run over a million tokens whose last
weights are averaged; over half as many twice as high. The mean of weights that still move far knows
less by heart."""
ENDS = 0.01, 0.6
"""Within which that stays, as a share of the run's own peak."""
USUAL_WIDTH = 96
"""Up to which the usual learning rate is the best."""
FLOOR_EPOCHS = 3
"""Epochs from which on that is so."""


def shapes(
    base: Settings, pinned: frozenset[str], train_bytes: int, bare: bool = False
) -> Iterator[Settings]:
    """Every shape that may be chosen: ``base`` with other vocabularies, tables and sizes; what is
    ``pinned`` ("section.key") stays. ``bare``: those without tables or pairs, instead of those with
    both."""
    for vocabulary in _vocabularies(base, pinned, train_bytes):
        tokenizer = msgspec.structs.replace(base.tokenizer, vocab_size=vocabulary)
        for model in _models(base.model, pinned, bare):
            yield msgspec.structs.replace(base, tokenizer=tokenizer, model=model)


def _vocabularies(base: Settings, pinned: frozenset[str], train_bytes: int) -> tuple[int, ...]:
    if "tokenizer.vocab_size" in pinned:
        return (base.tokenizer.vocab_size,)
    fits = tuple(size for size in VOCABULARIES if size * BYTES_OF_PIECE <= train_bytes)
    small = tuple(s for s in SMALL_VOCABULARIES if s * BYTES_OF_PIECE <= train_bytes)
    return fits or small[-1:] or SMALL_VOCABULARIES[:1]


def _models(model: ModelSettings, pinned: frozenset[str], bare: bool) -> Iterator[ModelSettings]:
    def options(name: str, values: tuple[int, ...]) -> tuple[int, ...]:
        return (getattr(model, name),) if f"model.{name}" in pinned else values

    sizes = (
        options("layers", tuple(PROPORTIONS)),
        options("width", WIDTHS),
        options("max_seq_length", CONTEXTS),
        options("block_tables", (True, False)),
        options("pair_rows", PAIR_ROWS),
    )
    free = not {"model.layers", "model.width"} & pinned
    tables_free = not {"model.block_tables", "model.pair_rows"} & pinned
    for layers, width, length, tables, pairs in itertools.product(*sizes):
        if free and width not in PROPORTIONS[layers]:
            continue
        if (bare and layers > BARE_LAYERS) or (tables_free and bare == bool(tables and pairs)):
            continue
        for heads in options("heads", (usual_heads(width),)):
            if width % heads or width // heads % HEAD_MULTIPLE:
                continue
            for hidden in options("hidden", tuple(_multiple(width * part) for part in HIDDEN)):
                yield msgspec.structs.replace(
                    model,
                    layers=layers,
                    width=width,
                    heads=heads,
                    hidden=hidden,
                    max_seq_length=length,
                    block_tables=bool(tables),
                    pair_rows=pairs,
                )


def usual_heads(width: int) -> int:
    """Heads of 32 to 80 channels: one up to 80, of about 64 up to 128, then of about 32."""
    wanted = 80 if width <= 80 else 64 if width <= 128 else 32
    sizes = [size for size in range(HEAD_MULTIPLE, width + 1, HEAD_MULTIPLE) if width % size == 0]
    return width // min(sizes, key=lambda size: abs(size - wanted)) if sizes else 1


def _multiple(size: float) -> int:
    return 16 * math.ceil(size / 16)


def regularised(
    settings: Settings, pinned: frozenset[str], train_tokens: int, epochs: int
) -> Settings:
    """The settings with these epochs, and with decay and dropout as strong as they need.

    A model learns its text by heart the sooner the more weights it has for each token and the more
    often it sees it. Between the points that were tried (docs/log/model.md: 2 weights a token and
    20 epochs, decay 0.1, tables 1, dropout 0.1, pairs 0.2; 9.5 and 10 epochs, decay 0.3, tables 2,
    dropout 0.15, pairs 0.3; 5.5 and 8 epochs, tables 3, dropout 0.15, pairs 0.4) on a line over the
    logarithm; a text that is seen once needs almost none.
    """
    strength = pressure(settings.parameters, train_tokens, epochs)
    found = {
        "weight_decay": round(0.1 * 3.0 ** _between(0.6 * strength - 0.3, 0.0, 1.0), 2),
        "table_weight_decay": round(_between(1.0 + 0.6 * strength, 0.3, 2.5), 1),
        "dropout": round(_between(0.08 + 0.03 * strength, 0.0, 0.2), 2),
        "pair_dropout": round(_between(0.16 + 0.07 * strength, 0.0, 0.4), 2),
    }
    if epochs >= FLOOR_EPOCHS and settings.training.average:
        usual = settings.training.learning_rate
        found |= _rates(train_tokens, settings.model.width, usual)
    chosen = {key: value for key, value in found.items() if f"training.{key}" not in pinned}
    training = msgspec.structs.replace(settings.training, epochs=epochs, **chosen)
    return msgspec.structs.replace(settings, training=training)


def _rates(train_tokens: int, width: int, usual: float) -> dict[str, float]:
    """The learning rate and its end for a run whose last weights are averaged: the smaller the
    text, the higher; on a larger one the lower, the wider the model (docs/decisions/0043 has what
    was tried on 0.25, 0.5 and 1 million tokens)."""
    millions = max(1, train_tokens) / 1e6
    small = _between(math.log2(0.5 / millions), 0.0, 1.0)
    wide = max(1.0, width / USUAL_WIDTH) ** 0.5
    rate = usual * (5 / 3) ** small / wide ** (1.0 - small)
    return {
        "learning_rate": round(rate, 4),
        "min_learning_rate": round(_between(usual * END / millions / rate, *ENDS), 2),
    }


def pressure(weights: int, train_tokens: int, epochs: int) -> float:
    """How much there is to learn by heart: 0 at 2 weights a token and 10 epochs, 1 at twice as many
    weights, or four times the epochs; -3 and less for a text that is seen once."""
    each = weights / max(1, train_tokens)
    return math.log2(max(each, 1e-6) / 2.0) + 0.5 * math.log2(epochs / 10.0)


def _between(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
