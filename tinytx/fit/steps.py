"""How long a training step takes: what it is made of, at the rates of this machine.

The operations of ``tinytx.train.model`` and ``tinytx.train.loss`` are counted per step of N tokens
and divided by what :mod:`tinytx.fit.machine` measured, in four groups. Each group has a constant,
fitted by ``bench/plan_fit.py`` from real compiled steps (``bench/plan/steps.json``): what the
counting leaves out, such as casts, copies and threads that wait. Shapes: N tokens, T window,
D width, H heads, S head size, F hidden, V vocabulary, R pairs' rows, L layers.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from tinytx.config import Settings
from tinytx.fit.machine import Rates

ITERATIONS = 3  # of Muon: tinytx.train.optimizer, which loads PyTorch
BLOCK_PASSES = 30  # over [N, D] in a block, forwards and backwards: norms, rotations, residuals
HIDDEN_PASSES = 8  # over [N, F]: SwiGLU
SCORE_SOFTMAXES = 3  # over [N, H, T]: mask, softmax, its gradient and casts
LOSS_SOFTMAXES = 1  # over [N, V]
OPERATIONS, OPERATIONS_OF_BLOCK = 150, 60


class Work(NamedTuple):
    """Seconds of one step by group, at the machine's rates."""

    products: float
    passes: float
    """Over activations: norms, softmax, SwiGLU, the loss."""
    optimizer: float
    """AdamW, Muon, and the gradients of looked-up rows."""
    operations: float
    """What an operation costs before it does anything."""


CONSTANTS = Work(products=1.06, passes=1.51, optimizer=1.14, operations=1.28)
"""What each group is multiplied by; fitted, see above."""


def step_seconds(settings: Settings, rates: Rates, constants: Work = CONSTANTS) -> float:
    """A step of the whole batch, compiled, on a machine with these rates."""
    found = work(settings, rates)
    return sum(seconds * factor for seconds, factor in zip(found, constants, strict=True))


def work(settings: Settings, rates: Rates) -> Work:
    """The groups of a step, before their constants."""
    model, vocabulary = settings.model, settings.tokenizer.vocab_size
    parts = -(-settings.training.batch_size // settings.training.at_once)
    length, layers, width, hidden = model.max_seq_length, model.layers, model.width, model.hidden
    tokens = settings.training.batch_size * length
    matrices = 4 * width * width + 3 * width * hidden
    products = (
        6.0 * tokens * layers * matrices / at(rates.products, width)
        + 6.0 * tokens * vocabulary * width / at(rates.head, width)
        + 12.0 * tokens * length * layers * width / at(rates.attention, model.head_size)
    )
    scores = tokens * model.heads * length * layers
    passes = (
        SCORE_SOFTMAXES * scores + LOSS_SOFTMAXES * tokens * vocabulary
    ) / rates.softmax + tokens * layers * (
        BLOCK_PASSES * width + HIDDEN_PASSES * hidden
    ) / rates.stream
    return Work(
        products=products,
        passes=passes,
        optimizer=_optimizer(settings, rates, tokens),
        operations=parts * (OPERATIONS + layers * OPERATIONS_OF_BLOCK) * rates.dispatch,
    )


def _optimizer(settings: Settings, rates: Rates, tokens: int) -> float:
    """AdamW on what is looked up, Muon on the blocks, and the gradients of the tables."""
    model, vocabulary = settings.model, settings.tokenizer.vocab_size
    width, hidden = model.width, model.hidden
    tables = 1 + model.layers * model.block_tables
    looked_up = (tables * vocabulary + model.pair_rows) * width
    inner, outer = min(width, hidden), max(width, hidden)
    squares = 4 * 6.0 * width**3  # of a matrix [r, c], r >= c: 4 r c^2 + 2 c^3
    others = 3 * (4.0 * outer * inner**2 + 2.0 * inner**3)
    flops = ITERATIONS * model.layers * (squares + others)
    lookups = (tables + (model.pair_rows > 0)) * tokens * width
    adamw = settings.training.optimizer == "adamw"
    blocks = settings.parameters - looked_up
    return (
        (looked_up + blocks * adamw) / rates.adamw
        + (0.0 if adamw else flops / at(rates.orthogonal, width))
        + 0.25 * settings.parameters / rates.adamw  # the gradients' norm, and their scaling
        + lookups / rates.lookup
    )


def at(table: Mapping[int, float], size: int) -> float:
    """A rate between those that were measured, on a line over the logarithm of the size; the
    nearest one outside of them."""
    sizes = sorted(table)
    if size <= sizes[0]:
        return table[sizes[0]]
    if size >= sizes[-1]:
        return table[sizes[-1]]
    upper = next(index for index, known in enumerate(sizes) if known >= size)
    low, high = sizes[upper - 1], sizes[upper]
    share = math.log(size / low) / math.log(high / low)
    return (1.0 - share) * table[low] + share * table[high]
