"""From logits to the next token: greedy, or temperature, top-k and top-p (nucleus)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinytx.errors import UsageError

SMALLEST_TEMPERATURE = 1e-300  # a subnormal one is 0 where the processor flushes those


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. A temperature of 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens whose probability reaches p."""
    min_p: float = 0.0
    """Keep tokens that are at least this share as probable as the best one."""
    repetition_penalty: float = 1.0
    """What is in the context already becomes less likely above 1, more likely below."""
    seed: int | None = None
    """The same seed gives the same text on the same machine; None draws one."""

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for a number that makes no sense."""
        if not 0.0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 or more, not {self.temperature}")
        if self.top_k < 0:
            raise UsageError(f"top-k must be 0 or more, not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if not 0.0 <= self.min_p <= 1.0:
            raise UsageError(f"min-p must be from 0 to 1, not {self.min_p}")
        if not 0.0 < self.repetition_penalty < float("inf"):
            raise UsageError(
                f"the repetition penalty must be above 0, not {self.repetition_penalty}"
            )
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")


class Sampler:
    """Draws tokens one after the other from one random stream."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        # The standard library's Mersenne Twister: numpy.random costs 7 MB resident (OpenSSL and
        # its own generators), ten times as long per draw, and the seed's promise is the same.
        self._random = random.Random(sampling.seed)

    def __call__(self, logits: NDArray[np.float32], context: Sequence[int] = ()) -> int:
        """The next token id, from logits [vocab] and the token ids that came before."""
        if self.sampling.repetition_penalty != 1.0 and len(context):
            logits = penalised(logits, context, self.sampling.repetition_penalty)
        if self.sampling.temperature == 0.0:
            return int(logits.argmax())
        some = self.sampling.top_k or self.sampling.top_p < 1.0 or self.sampling.min_p
        if not some:  # all tokens: no order needed
            return self._draw(np.exp(_scaled(logits, self.sampling.temperature)))
        ids, probabilities = distribution(logits, self.sampling)
        return int(ids[self._draw(probabilities)])

    def _draw(self, weights: NDArray[np.float64]) -> int:
        """An index, as often as its share of the weights says."""
        cumulative = weights.cumsum()
        drawn = cumulative.searchsorted(self._random.random() * cumulative[-1], side="right")
        return min(int(drawn), len(weights) - 1)


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
    keeps the same set. Only tokens that can be kept are sorted: sorting the whole vocabulary would
    cost more than the model's step.
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
    if sampling.min_p > 0.0:
        kept = int(np.count_nonzero(probabilities >= sampling.min_p * probabilities[0]))
        ids, probabilities = ids[:kept], probabilities[:kept]  # in order: a prefix
        probabilities = probabilities / probabilities.sum()
    return ids, probabilities


def penalised(
    logits: NDArray[np.float32], context: Sequence[int], penalty: float
) -> NDArray[np.float32]:
    """Logits [vocab] in which each token of the context is divided by ``penalty`` where positive
    and multiplied where negative (Keskar et al. 2019, arXiv 1909.05858), once however often it
    occurred."""
    seen = np.unique(np.asarray(context, np.int64))
    changed = logits.copy()
    values = changed[seen]
    changed[seen] = np.where(values > 0, values / penalty, values * penalty)
    return changed


def _best(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Ids of the ``count`` largest logits, largest first, the lower id first among equals."""
    least = np.partition(logits, -count)[-count]
    above = np.flatnonzero(logits >= least)
    return above[np.argsort(-logits[above], kind="stable")][:count]
