"""From logits to the next token: repetition penalty, then greedy, or temperature, top-k, top-p
(nucleus), min-p and one draw, in this order."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinytx.errors import UsageError

SMALLEST_TEMPERATURE = 1e-300  # a subnormal one is 0 where the processor flushes those
MOST_PENALTY = 100.0
LEAST_ACCEPTED = 0.5
"""From this top-p on, drawing until a token is accepted is cheaper than putting tokens in order."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. A temperature of 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens whose probability reaches p."""
    seed: int | None = None
    """The same seed gives the same text on the same machine; None draws one."""
    min_p: float = 0.0
    """Keep tokens at least this share as probable as the best one; 0 keeps all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that the prompt or the text holds already become less probable."""

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for a number that makes no sense."""
        if not 0.0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 or more, not {self.temperature}")
        if self.top_k < 0:
            raise UsageError(f"top-k must be 0 or more, not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")
        if not 0.0 <= self.min_p <= 1.0:
            raise UsageError(f"min-p must be from 0 to 1, not {self.min_p}")
        if not 1.0 <= self.repetition_penalty <= MOST_PENALTY:
            raise UsageError(
                f"repetition penalty must be from 1 to {MOST_PENALTY:g}, "
                f"not {self.repetition_penalty}"
            )


class Sampler:
    """Draws tokens one after the other from one random stream."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        # The standard library's Mersenne Twister: numpy.random costs 7 MB resident (OpenSSL and
        # its own generators), ten times as long per draw, and the seed's promise is the same.
        self._random = random.Random(sampling.seed)
        self._seen: set[int] = set()

    def observe(self, ids: Iterable[int]) -> None:
        """Token ids that the text holds now: what a repetition penalty makes less probable."""
        if self.sampling.repetition_penalty != 1.0:
            self._seen.update(ids)

    def __call__(self, logits: NDArray[np.float32]) -> int:
        """The next token id, from logits [vocab]."""
        if self._seen:
            logits = penalised(logits, self._seen, self.sampling.repetition_penalty)
        if self.sampling.temperature == 0.0:
            return int(logits.argmax())
        unordered = self.sampling.min_p == 0.0 or self.sampling.top_p == 1.0
        if unordered and self.sampling.top_k == 0 and self.sampling.top_p >= LEAST_ACCEPTED:
            return self._draw_and_accept(_weights(logits, self.sampling.temperature))
        ids, probabilities = distribution(logits, self.sampling)
        return int(ids[self._draw(probabilities.cumsum())])

    def _draw_and_accept(self, weights: NDArray[np.float32]) -> int:
        """An id from weights [vocab] whose largest is 1, with top-p and min-p, without any order.

        Rejection sampling: draw from all, and again until the token is one that top-p keeps. Such
        a draw has exactly the distribution of the kept ones, and one in 1 / p is accepted.
        """
        top_p, kept = self.sampling.top_p, None
        if self.sampling.min_p > 0.0 and top_p == 1.0:
            kept = np.flatnonzero(weights >= self.sampling.min_p)
            weights = weights[kept]
        cumulative = weights.cumsum(dtype=np.float64)
        while True:
            drawn = self._draw(cumulative)
            if top_p == 1.0 or in_nucleus(weights, drawn, top_p * cumulative[-1]):
                return drawn if kept is None else int(kept[drawn])

    def _draw(self, cumulative: NDArray[np.float64]) -> int:
        """An index, as often as its share of the sums says."""
        drawn = cumulative.searchsorted(self._random.random() * cumulative[-1], side="right")
        return min(int(drawn), len(cumulative) - 1)


def in_nucleus(weights: NDArray[np.float32], token: int, wanted: float) -> bool:
    """Whether ``token`` is among the fewest tokens whose weights reach ``wanted``: those before
    it, heavier ones and equal ones of lower id, must not reach it yet."""
    weight = weights[token]
    before = (weights * (weights > weight)).sum(dtype=np.float64)  # no branch for each of them
    return bool(before + weight * np.count_nonzero(weights[:token] == weight) < wanted)


def penalised(
    logits: NDArray[np.float32], seen: Iterable[int], penalty: float
) -> NDArray[np.float32]:
    """Logits [vocab] with those of the ``seen`` ids divided by ``penalty`` where they are above 0
    and multiplied where they are below (Keskar et al. 2019, arXiv 1909.05858, section 4.1)."""
    ids = np.fromiter(seen, np.int64)
    changed, held = logits.copy(), logits[ids]
    changed[ids] = np.where(held > 0, held / penalty, held * penalty)
    return changed


def _weights(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """exp((logits - their maximum) / temperature), [vocab]: 1 for the best.

    In float32, three times as fast as in float64; shares are off by 1e-5 of themselves at most.
    """
    divisor = np.float32(min(max(temperature, 1e-30), 1e30))  # at the ends: greedy, uniform
    with np.errstate(over="ignore"):  # what is not the best goes to -inf
        weights: NDArray[np.float32] = np.exp((logits - logits.max()) / divisor)
    return weights


def _scaled(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """(logits - their maximum) / temperature: 0 for the best, [vocab]."""
    scaled = logits.astype(np.float64)
    scaled -= scaled.max()
    with np.errstate(over="ignore"):  # a tiny temperature: what is not the best goes to -inf
        scaled /= max(temperature, SMALLEST_TEMPERATURE)
    return scaled


def distribution(
    logits: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The kept token ids, most probable first, and their probabilities (they sum to 1).

    Top-k first, then top-p on what is left (Holtzman et al. 2020, arXiv 1904.09751), then min-p
    (Nguyen et al. 2024, arXiv 2407.01082); ties are ordered by token id, so that every platform
    keeps the same set. Only tokens that can be kept are sorted: sorting the whole vocabulary
    would cost more than the model's step.
    """
    scaled = _scaled(logits, sampling.temperature)
    if 0 < sampling.top_k < len(logits):
        ids = _best(logits, sampling.top_k)
        weights = np.exp(scaled[ids])
        total = weights.sum()
    else:
        everything = np.exp(scaled)
        total = everything.sum()
        # Tokens below this weight are at most vocab many, so together they hold less than a
        # share 1 - p: the smallest set that reaches p lies above, with all its ties.
        least = (1.0 - sampling.top_p) * total / len(logits)
        above = np.flatnonzero(everything >= least)
        ids = above[np.argsort(-logits[above], kind="stable")]
        weights = everything[ids]
    probabilities: NDArray[np.float64] = weights / total
    if sampling.top_p < 1.0:
        kept = int(probabilities.cumsum().searchsorted(sampling.top_p, side="left")) + 1
        ids, probabilities = ids[:kept], probabilities[:kept]
        probabilities = probabilities / probabilities.sum()
    return _min_p(ids, probabilities, sampling.min_p)


def _min_p(
    ids: NDArray[np.int64], probabilities: NDArray[np.float64], least: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What is at least ``least`` times as probable as the first, summing to 1 again."""
    kept = int((probabilities >= least * probabilities[0]).sum())  # sorted: these come first
    if kept == len(ids):
        return ids, probabilities
    return ids[:kept], probabilities[:kept] / probabilities[:kept].sum()


def _best(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Ids of the ``count`` largest logits, largest first, the lower id first among equals."""
    least = np.partition(logits, -count)[-count]
    above = np.flatnonzero(logits >= least)
    return above[np.argsort(-logits[above], kind="stable")][:count]
