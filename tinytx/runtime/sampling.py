"""From logits to the next token: greedy, or temperature, top-k and top-p (nucleus)."""

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
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")


class Sampler:
    """Draws tokens one after the other from one random stream."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def __call__(self, logits: NDArray[np.float32]) -> int:
        """The next token id, from logits [vocab]."""
        if self.sampling.temperature == 0.0:
            return int(logits.argmax())
        ids, probabilities = distribution(logits, self.sampling)
        cumulative = probabilities.cumsum()
        drawn = cumulative.searchsorted(self._random.random() * cumulative[-1], side="right")
        return int(ids[min(int(drawn), len(ids) - 1)])


def distribution(
    logits: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The kept token ids, most probable first, and their probabilities (they sum to 1).

    Top-k first, then top-p on what is left (Holtzman et al. 2020, arXiv 1904.09751); ties are
    ordered by token id, so that every platform keeps the same set.
    """
    wide = logits.astype(np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature: what is not the best goes to -inf
        scaled = (wide - wide.max()) / max(sampling.temperature, SMALLEST_TEMPERATURE)
    order = np.argsort(-wide, kind="stable")
    if 0 < sampling.top_k < len(order):
        order = order[: sampling.top_k]
    weights = np.exp(scaled[order])
    probabilities = weights / weights.sum()
    if sampling.top_p < 1.0:
        kept = int(np.searchsorted(probabilities.cumsum(), sampling.top_p, side="left")) + 1
        order, probabilities = order[:kept], probabilities[:kept]
        probabilities = probabilities / probabilities.sum()
    return order, probabilities
