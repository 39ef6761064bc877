"""Distribution-free confidence bounds of a quantile, and when to stop sampling.

For n independent samples sorted as x(1) <= ... <= x(n), the number of samples below the true
q-quantile is binomial B(n, q), whatever the distribution. Hence (Conover 1999, "Practical
Nonparametric Statistics", 3.2; Hahn & Meeker 1991, "Statistical Intervals", 5.2):

    upper bound: x(r) with the smallest r for which P(B(n, q) >= r) <= 1 - confidence
    lower bound: x(r) with the largest  r for which P(B(n, q) <= r - 1) <= 1 - confidence

At q = 0.95 and 99 % the upper bound needs 90 samples with none above it, 130 with one, 165 with
two. With fewer samples there is no bound, and None says so.

Latencies in a row are not independent. The clustering of the slow ones is estimated as the
integrated autocorrelation time tau of the indicator "slower than nine in ten", summed over
Geyer's initial positive sequence (Geyer 1992, "Practical Markov Chain Monte Carlo", 3.3), and
n/tau samples are taken to be worth as much as independent ones.

Looking again and again at a growing sample would make chance pass in the end. Look k = 0, 1, ...
therefore spends alpha / 2^(k+1) of the error probability alpha; the sum over all looks stays
below alpha (Bonferroni).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.95
CONFIDENCE = 0.99
CLUSTER_QUANTILE = 0.9

Samples = Sequence[float] | NDArray[np.float64]


@lru_cache(maxsize=256)
def upper_rank(n: int, quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> int | None:
    """The rank r in 1..n of the upper bound, or None when n samples are too few."""
    allowed = 1.0 - confidence
    tail = 0.0  # P(B >= r), summed from the top
    rank = None
    for r in range(n, 0, -1):
        tail += _binomial(n, r, quantile)
        if tail > allowed * (1.0 + 1e-12):
            break
        rank = r
    return rank


@lru_cache(maxsize=256)
def lower_rank(n: int, quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> int | None:
    """The rank r in 1..n of the lower bound, or None when n samples are too few."""
    allowed = 1.0 - confidence
    tail = 0.0  # P(B <= r - 1), summed from where it stops being negligible (below 1e-40)
    rank = None
    deviation = math.sqrt(n * quantile * (1.0 - quantile))
    for r in range(max(1, int(n * quantile - 15.0 * deviation - 15.0)), n + 1):
        tail += _binomial(n, r - 1, quantile)
        if tail > allowed * (1.0 + 1e-12):
            break
        rank = r
    return rank


def _binomial(n: int, k: int, p: float) -> float:
    """P(B(n, p) = k), by logarithms so that no factor under- or overflows."""
    log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p))


def upper_bound(
    samples: Samples,
    quantile: float = QUANTILE,
    confidence: float = CONFIDENCE,
    tau: float = 1.0,
) -> float | None:
    """The one-sided upper confidence bound of the quantile; None when nothing is proven.

    With ``tau`` > 1 the bound is the sample at the same relative rank that n/tau independent
    samples would need.
    """
    n = len(samples)
    worth = int(n / tau)
    rank = upper_rank(worth, quantile, confidence) if worth else None
    if rank is None:
        return None
    scaled = rank if worth == n else math.ceil(n * rank / worth)
    return float(np.sort(np.asarray(samples))[scaled - 1])


def lower_bound(
    samples: Samples,
    quantile: float = QUANTILE,
    confidence: float = CONFIDENCE,
    tau: float = 1.0,
) -> float | None:
    """The one-sided lower confidence bound of the quantile; None when nothing is proven."""
    n = len(samples)
    worth = int(n / tau)
    rank = lower_rank(worth, quantile, confidence) if worth else None
    if rank is None:
        return None
    scaled = rank if worth == n else math.floor(n * (rank - 1) / worth) + 1
    return float(np.sort(np.asarray(samples))[scaled - 1])


def quantile_of(samples: Samples, quantile: float = QUANTILE) -> float:
    """The sample quantile: the smallest sample that at least a share ``quantile`` is not above."""
    rank = max(math.ceil(len(samples) * quantile - 1e-9), 1)
    return float(np.sort(np.asarray(samples))[rank - 1])


def cluster_time(samples: Samples) -> float:
    """How many samples in a row are worth one independent one (tau >= 1)."""
    values: NDArray[np.float64] = np.asarray(samples, np.float64)
    n = len(values)
    if n < 16:
        return 1.0
    slow = (values > quantile_of(samples, CLUSTER_QUANTILE)).astype(np.float64)
    slow -= slow.mean()
    variance = float(slow @ slow)
    if variance == 0.0:
        return 1.0
    tau = -1.0  # Geyer: tau = -1 + 2 * sum of the pair sums rho(2m) + rho(2m+1) while positive
    for lag in range(0, n // 4, 2):
        even = float(slow[: n - lag] @ slow[lag:])
        odd = float(slow[: n - lag - 1] @ slow[lag + 1 :])
        pair = (even + odd) / variance
        if pair <= 0.0:
            break
        tau += 2.0 * pair
    return max(tau, 1.0)


def look_confidence(look: int, confidence: float = CONFIDENCE, cells: int = 1) -> float:
    """The confidence of look 0, 1, ... at one of ``cells`` simultaneous comparisons."""
    return 1.0 - (1.0 - confidence) / (2.0 ** (look + 1) * cells)


def look_number(n: int, first: int) -> int:
    """The number of the look at n samples, when looks are at first, 2 first, 4 first, ...

    A look between two of these counts as the next one; before the first it is look 0.
    """
    look = 0
    while first * 2**look < n:
        look += 1
    return look


def bounds_at_look(
    samples: Samples, first: int, cells: int = 1
) -> tuple[float | None, float | None]:
    """Lower and upper bound of the p95 at the look that this many samples make.

    PASS needs every cell (each process at each context length) below the limit, so the upper
    bound needs no correction for their number (an intersection-union test); FAIL needs only
    one above it, so the lower bound is corrected.
    """
    look = look_number(len(samples), first)
    tau = cluster_time(samples)
    lower = lower_bound(samples, QUANTILE, look_confidence(look, cells=cells), tau)
    upper = upper_bound(samples, QUANTILE, look_confidence(look), tau)
    return lower, upper


def decided(samples: Samples, limit: float, first: int, cells: int = 1) -> bool:
    """Whether this look proves the p95 within the limit or over it."""
    lower, upper = bounds_at_look(samples, first, cells)
    return (upper is not None and upper <= limit) or (lower is not None and lower > limit)
