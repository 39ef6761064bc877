"""Which precision to serve, found out on this machine: the fastest of those whose rows have the
same bits in any company.

A quantised product may have other bits for a row alone than for the same row beside others: that
depends on the processor and on the shape. Then a text would depend on who else is being served.
Such products work on tiles of rows, and have other bits in an incomplete tile: so where whole tiles
mend it, idle rows fill them up, and else such a precision is not taken. float32 has been the same
on every processor that was tried.
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
from tinytx.runtime.processor import loadable

log = logging.getLogger(__name__)

COMPANY = 8
"""Rows that a precision is timed with."""
LOOKED_AT = (2, 3, 4, 5, 6, 7, 8, 13, 16)
"""Sizes of company in which rows are compared with themselves alone."""
TILES = (1, 2, 4, 8)
"""Rows that a step runs a multiple of: 1 is as they come; what is run more is idle."""
PROMPTS = 5
"""Different texts among those rows; no tile holds a multiple of so many."""
STEPS, TIMED = 6, 24
Bits = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """What was found of one precision."""

    precision: Precision
    tile: int
    """Of how many rows, idle ones among them, a multiple is run; 0: no such tile makes the bits of
    a row the same alone and in company."""
    seconds: float
    """Of a step of as many rows as were timed, the median."""
    rows: int

    def __str__(self) -> str:
        speed = f"{self.rows / self.seconds:,.0f} tokens/s with {self.rows} rows"
        tiles = {0: ", bits depend on company", 1: ""}
        return f"{self.precision}: {speed}" + tiles.get(self.tile, f", by {self.tile} at a time")


def choose(
    bundle: Bundle, slots: int, precision: Precision | None = None
) -> tuple[Precision, Batch, list[Trial]]:
    """The batch to serve with, of ``precision`` or of the fastest that holds; where quantised
    products are slow that is float32, and nothing else is tried.

    Raises :class:`BundleError` when the precision asked for does not hold here, and
    :class:`UsageError` when the bundle lacks it.
    """
    manifest = bundle.manifest
    wanted = [manifest.choose(precision)] if precision else loadable(manifest)
    trials: list[Trial] = []
    for each in wanted:
        trials.append(_try(bundle, each, min(slots, max(LOOKED_AT))))
        log.info("%s", trials[-1])
    holding = [trial for trial in trials if trial.tile]
    if not holding:
        names = ", ".join(trial.precision for trial in trials)
        raise BundleError(
            f"on this processor a text of {names} would depend on who else is served",
            "serve another precision, such as float32, or --slots 1",
        )
    best = min(holding, key=lambda trial: trial.seconds)
    return best.precision, _load(bundle, best.precision, slots, best.tile), trials


def _load(bundle: Bundle, precision: Precision, slots: int, tile: int) -> Batch:
    graph = GRAPHS[precision]
    return Batch(
        bundle.manifest.model,
        bundle.read_file(graph),
        slots,
        name=str(bundle.folder / graph),
        tile=tile,
    )


def _try(bundle: Bundle, precision: Precision, slots: int) -> Trial:
    for tile in TILES:
        batch = _load(bundle, precision, slots, tile)
        if same_bits(batch):
            return Trial(precision, tile, *_time(batch))
    return Trial(precision, 0, *_time(batch))


def same_bits(batch: Batch) -> bool:
    """Whether rows have the same bits alone and in every company that is looked at."""
    prompts = [_prompt(batch, number) for number in range(PROMPTS)]
    alone = [_logits(batch, [prompt])[:, 0] for prompt in prompts]
    sizes = sorted({size for size in (*LOOKED_AT, batch.slots) if 1 < size <= batch.slots})
    for size in sizes:
        found = _logits(batch, [prompts[row % PROMPTS] for row in range(size)])
        if not all(np.array_equal(found[:, row], alone[row % PROMPTS]) for row in range(size)):
            return False
    return True


def _prompt(batch: Batch, number: int) -> list[int]:
    """Tokens that differ from those of another number, and are more or fewer."""
    vocab = batch.facts.vocab_size
    return [(7 * number + 13 * at) % vocab for at in range(1 + number)]


def _logits(batch: Batch, prompts: Sequence[Sequence[int]]) -> Bits:
    """Greedy steps of these rows together: logits [steps, rows, vocab]."""
    following = []
    for slot, prompt in enumerate(prompts):
        following.append(int(batch.prompt(prompt, 0).argmax()))
        batch.enter(slot, prompt)
    found = []
    for _ in range(min(STEPS, batch.facts.max_seq_length - PROMPTS)):
        found.append(batch.step(following).copy())
        following = found[-1].argmax(axis=1).tolist()
    return np.stack(found)


def _time(batch: Batch) -> tuple[float, int]:
    """Seconds of a step, the median, and the rows of it."""
    rows = min(COMPANY, batch.slots)
    seconds: list[float] = []
    while len(seconds) < TIMED:
        for slot in range(rows):
            batch.enter(slot, [1])
        for _ in range(min(TIMED, batch.facts.max_seq_length - 1)):
            began = time.perf_counter()
            batch.step([1] * rows)
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), rows
