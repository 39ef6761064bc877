"""Does the judging rule keep its word? Simulated benches whose true p95 is known.

    python bench/simulate.py                 # the whole table, about two minutes
    python bench/simulate.py --benches 200   # a quick look

Every bench has nine cells (three processes at three context lengths), judged by the functions
that `tinytx bench` judges with. "over": one cell's true p95 is 1 % over the limit and all others
are far under it, the hardest case; PASS must come out in at most 1 %. "under": every cell's true
p95 is 20 % under; PASS must come out in at least 95 %, with the mean number of samples per cell
that the last column shows. "Twice": every process that does not pass is measured once more, the
worst that measuring disturbed processes again could do.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tinytx.measure import stats
from tinytx.measure.policy.scenarios import NextToken

Array = NDArray[np.float64]
Random = np.random.Generator
Draw = Callable[[Random, int, int, Array | None], Array]
"""(random, rows, columns, what came before) -> samples [rows, columns] with a true p95 of 1."""

Z95 = 1.6448536269514722  # the standard normal distribution's p95
OVER, UNDER = 1.0 / 1.01, 1.25
"""The limit when the true p95 is 1 % over it, and when it is 20 % under it."""
CELLS = 9
EVERY_SECONDS = 10.0
"""Between two lines of progress that no terminal reads."""
POLICY = NextToken()


def normal(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    return (10.0 + random.normal(size=(rows, columns))) / (10.0 + Z95)


def log_normal(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    return np.exp(0.4 * (random.normal(size=(rows, columns)) - Z95))


def bimodal(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    """Nine in ten near 0.5; the tenth is uniform around 1, the p95."""
    return _two_speeds(random, random.random((rows, columns)) < 0.1)


def heavy_tail(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    """Pareto with exponent 3: its variance is finite, its third moment is not."""
    return (0.05 / (1.0 - random.random((rows, columns)))) ** (1.0 / 3.0)


def correlated(random: Random, rows: int, columns: int, before: Array | None) -> Array:
    """An autoregressive normal process, rho = 0.8, made log-normal."""
    rho, spread = 0.8, 0.3
    noise = random.normal(size=(columns, rows)) * math.sqrt(1.0 - rho**2)
    last = random.normal(size=rows) if before is None else np.log(before[:, -1]) / spread + Z95
    for step in noise:  # in place
        step += rho * last
        last = step
    return np.exp(spread * (noise.T - Z95))


def in_blocks(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    """Generations of 8 steps that share half of their variance, log-normal."""
    size = POLICY.block
    shared = np.repeat(random.normal(size=(rows, -(-columns // size))), size, axis=1)
    own = random.normal(size=(rows, columns))
    return np.exp(0.3 * (math.sqrt(0.5) * (shared[:, :columns] + own) - Z95))


def equal_in_blocks(random: Random, rows: int, columns: int, _: Array | None) -> Array:
    """Generations of 8 steps that all take the same time, log-normal."""
    size = POLICY.block
    shared = np.repeat(random.normal(size=(rows, -(-columns // size))), size, axis=1)
    return np.exp(0.3 * (shared[:, :columns] - Z95))


def slow_phases(length: int) -> Draw:
    """A machine that is slow a tenth of the time, in phases of ``length`` steps on average."""

    def draw(random: Random, rows: int, columns: int, before: Array | None) -> Array:
        chance = random.random((columns, rows))
        slow = random.random(rows) < 0.1 if before is None else before[:, -1] > 0.65
        states = np.empty((columns, rows), bool)
        for i in range(columns):
            slow = np.where(slow, chance[i] >= 1.0 / length, chance[i] < 1.0 / length / 9.0)
            states[i] = slow
        return _two_speeds(random, states.T)

    return draw


def _two_speeds(random: Random, slow: NDArray[np.bool_]) -> Array:
    return np.where(
        slow, random.uniform(0.7, 1.3, slow.shape), random.uniform(0.4, 0.6, slow.shape)
    )


SHAPES: dict[str, Draw] = {
    "normal": normal,
    "log-normal": log_normal,
    "bimodal": bimodal,
    "heavy tail": heavy_tail,
    "correlated": correlated,
    "in blocks": in_blocks,
    "equal in blocks": equal_in_blocks,
}


@dataclass(frozen=True)
class Outcome:
    """What became of many processes of one cell."""

    passed: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    steps: NDArray[np.int64]
    """Samples that each took."""
    samples: Array
    """The first samples of each, as many as the first look needs."""


def simulate(
    draw: Draw, limit: float, processes: int, most: int, seed: int, first: int = POLICY.first_look
) -> Outcome:
    """Look at ``first`` samples, then at twice as many, ... until decided or at ``most``."""
    random = np.random.default_rng(seed)
    samples = start = draw(random, processes, first, None)
    passed, failed = np.zeros(processes, bool), np.zeros(processes, bool)
    steps = np.full(processes, first)
    alive = np.arange(processes)
    while True:
        bounds = stats.bounds_at_looks(samples, POLICY.first_look, CELLS, POLICY.block)
        kept = np.array([upper is not None and upper <= limit for _, upper in bounds], bool)
        broken = np.array([lower is not None and lower > limit for lower, _ in bounds], bool)
        passed[alive], failed[alive] = kept, broken & ~kept
        alive, samples = alive[~(kept | broken)], samples[~(kept | broken)]
        if not len(alive) or 2 * samples.shape[1] > most:
            return Outcome(passed, failed, steps, start)
        more = draw(random, len(alive), samples.shape[1], samples)
        samples = np.concatenate([samples, more], axis=1)
        steps[alive] = samples.shape[1]


class Progress:
    """Says on stderr how far it is: in place on a terminal, else a line now and then."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.next = self.began
        self.terminal = sys.stderr.isatty()

    def step(self, name: str) -> None:
        """The next simulation begins."""
        self.done += 1
        now = time.monotonic()
        if not self.terminal and now < self.next:
            return
        self.next = now + EVERY_SECONDS
        spent = int(now - self.began)
        words = (
            f"{self.done}/{self.total} simulations, {name}, {spent // 60}:{spent % 60:02d} so far"
        )
        before, after = ("\r\x1b[K", "") if self.terminal else ("", "\n")
        print(f"{before}{words}{after}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a line of the table."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def passing(
    draw: Draw,
    benches: int,
    most: int,
    first: int,
    seed: int = 2,
    step: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Of benches with nine cells 20 % under the limit: the share that PASS, and mean samples."""
    left, total, cells = benches, 0, 0
    for cell in range(CELLS):
        step()
        outcome = simulate(draw, UNDER, left, most, seed * 100 + cell, first)
        total, cells = total + int(outcome.steps.sum()), cells + left
        left = int(outcome.passed.sum())
        if not left:
            break
    return left / benches, total / cells


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--benches", type=int, default=2_000)
    parser.add_argument("--most", type=int, default=16_384, help="samples per process")
    options = parser.parse_args()
    if options.benches < 1 or options.most < 2 * POLICY.first_look:
        parser.error(f"--benches is at least 1, --most at least {2 * POLICY.first_look}")
    print("one cell 1 % over the limit, and all nine 20 % under it; first look in brackets")
    print(f"{'distribution':24} {'over: PASS':>10} {'twice':>7} {'FAIL':>7}", end="")
    print(f"   {'under: PASS':>11} {'samples':>8}", flush=True)
    lines = [(name, draw, POLICY.first_look) for name, draw in SHAPES.items()]
    for length in (8, 32, 64):
        lines += [(f"slow phases of {length}", slow_phases(length), n) for n in (256, 4_096)]
    progress = Progress(len(lines) * (CELLS + 2))
    for row, (name, draw, first) in enumerate(lines, 1):
        title = f"{name} [{first}]"
        told = rates(draw, options.benches, options.most, first, partial(progress.step, title))
        progress.done = row * (CELLS + 2)  # cells after one that none passed are left out
        progress.clear()
        print(f"{title:24} {told}", flush=True)


def rates(draw: Draw, benches: int, most: int, first: int, step: Callable[[], None]) -> str:
    """A line of the table, without its name; ``step`` is called before each simulation."""
    over = []
    for seed in (1, 7):
        step()
        over.append(simulate(draw, OVER, benches, most // 2, seed, first))
    twice = (over[0].passed | over[1].passed).mean()
    share, mean = passing(draw, benches, most, first, step=step)
    once = f"{over[0].passed.mean():10.2%} {twice:7.2%} {over[0].failed.mean():7.2%}"
    return f"{once}   {share:11.2%} {mean:8,.0f}"


if __name__ == "__main__":
    main()
