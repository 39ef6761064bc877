"""Which precision to serve, found out on this machine: the fastest of those whose rows have the
same bits in any company.

A quantised product may have other bits for a row alone than for the same row beside others: that
depends on the processor and on the shape. Then a text would depend on who else is being served, so
such a precision is not taken. float32 has been the same on every processor that was tried.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinytx.bundle import GRAPHS, Bundle, Precision
from tinytx.errors import BundleError
from tinytx.runtime.batch import Batch

log = logging.getLogger(__name__)

COMPANY = 8
"""Rows that a precision is timed with."""
LOOKED_AT = (2, 3, 4, 8)
"""Sizes of company in which the first row is compared with itself alone."""
STEPS, TIMED = 6, 24
Bits = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """What was found of one precision."""

    precision: Precision
    same_bits: bool
    """Whether rows have the same bits alone and in company."""
    seconds: float
    """Of a step of as many rows as were tried, the median."""
    rows: int

    def __str__(self) -> str:
        speed = f"{self.rows / self.seconds:,.0f} tokens/s with {self.rows} rows"
        return f"{self.precision}: {speed}" + ("" if self.same_bits else ", bits depend on company")


def choose(
    bundle: Bundle, slots: int, precision: Precision | None = None
) -> tuple[Precision, Batch, list[Trial]]:
    """The batch to serve with, of ``precision`` or of the fastest that holds.

    Raises :class:`BundleError` when the precision asked for does not hold here, and
    :class:`UsageError` when the bundle lacks it.
    """
    manifest = bundle.manifest
    wanted = [manifest.choose(precision)] if precision else manifest.precisions
    trials: list[Trial] = []
    for each in wanted:
        trials.append(_try(_load(bundle, each, min(slots, COMPANY)), each))
        log.info("%s", trials[-1])
    holding = [trial for trial in trials if trial.same_bits]
    if not holding:
        names = ", ".join(trial.precision for trial in trials)
        raise BundleError(
            f"on this processor a text of {names} would depend on who else is served",
            "serve another precision, such as float32, or --slots 1",
        )
    best = min(holding, key=lambda trial: trial.seconds)
    return best.precision, _load(bundle, best.precision, slots), trials


def _load(bundle: Bundle, precision: Precision, slots: int) -> Batch:
    graph = GRAPHS[precision]
    return Batch(
        bundle.manifest.model,
        bundle.read_file(graph),
        slots,
        name=str(bundle.folder / graph),
    )


def _try(batch: Batch, precision: Precision) -> Trial:
    sizes = [size for size in LOOKED_AT if size <= batch.slots]
    prompts = _prompts(batch)
    alone = [_logits(batch, [prompt])[:, 0] for prompt in prompts]
    same = all(
        np.array_equal(_logits(batch, prompts[:size])[:, row], alone[row])
        for size in sizes
        for row in range(size)
    )
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        batch.step([1] * batch.slots)
        seconds.append(time.perf_counter() - began)
    return Trial(precision, same, float(np.median(seconds)), batch.slots)


def _prompts(batch: Batch) -> list[list[int]]:
    """One for each slot, of different tokens and lengths."""
    vocab = batch.facts.vocab_size
    return [[(7 * i + 13 * j) % vocab for j in range(1 + i % 5)] for i in range(batch.slots)]


def _logits(batch: Batch, prompts: Sequence[Sequence[int]]) -> Bits:
    """Greedy steps of these rows together: logits [steps, rows, vocab]."""
    following = []
    for slot, prompt in enumerate(prompts):
        following.append(int(batch.prompt(prompt, 0).argmax()))
        batch.enter(slot, prompt)
    found = []
    for _ in range(STEPS):
        found.append(batch.step(following).copy())
        following = found[-1].argmax(axis=1).tolist()
    return np.stack(found)
