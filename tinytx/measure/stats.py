"""Distribution-free confidence bounds of a quantile, and when to stop sampling.

For n independent samples sorted as x(1) <= ... <= x(n), the number of samples below the true
q-quantile is binomial B(n, q), whatever the distribution. Hence (Conover 1999, "Practical
Nonparametric Statistics", 3.2; Hahn & Meeker 1991, "Statistical Intervals", 5.2):

    upper bound: x(r) with the smallest r for which P(B(n, q) >= r) <= 1 - confidence
    lower bound: x(r) with the largest  r for which P(B(n, q) <= r - 1) <= 1 - confidence

At q = 0.95 and 99 % the upper bound needs 90 samples with none above it, 130 with one, 165 with
two. With fewer samples there is no bound, and None says so.

Latencies in a row are not independent. How much n samples are worth is therefore estimated in two
ways, from the indicator "slower than nine in ten", and the worse of the two is taken:

- per process: the integrated autocorrelation time tau, summed over Geyer's initial positive
  sequence (Geyer 1992, "Practical Markov Chain Monte Carlo", 3.3);
- per generation block (the steps that follow one prompt): the design effect of cluster samples,
  block size times the variance of block means over the variance of single samples (Kish 1965,
  "Survey Sampling", 5.4).

n/tau samples are taken to be worth as much as independent ones. What never shows in the samples
cannot be estimated from them, so nothing is decided before the steps of a process add up to
``least_seconds`` of the scenario file: a slow phase that comes less often still goes unseen.

Where the machine's pace drifts, "slower than nine in ten" follows the drift: phases of seconds make
hundreds of thousands of steps worth a few dozen, however far away the limit is. So from
``RARE_LEAST`` samples on the upper bound has a second way, each for half of the error probability:
the same two estimates for "slower than 99 in 100", which drift decides less. What they prove is
said of a figure not below the sample's 99 % quantile, since the clustering above that was seen.

Looking again and again at a growing sample would make chance pass in the end. Look k = 0, 1, ...
therefore spends alpha / 2^(k+1) of the error probability alpha; the sum over all looks stays
below alpha (Bonferroni).
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.95
CONFIDENCE = 0.99
CLUSTER_QUANTILE = 0.9
RARE_QUANTILE = 0.99
RARE_LEAST = 4_096
"""Samples from which on the slowest hundredth is enough to see how it clusters: 40 of them."""

Samples = Sequence[float] | NDArray[np.float64]
Rows = NDArray[np.float64]
"""One row per process, one column per sample."""


@lru_cache(maxsize=16_384)
def upper_rank(n: int, quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> int | None:
    """The rank r in 1..n of the upper bound, or None when n samples are too few."""
    first, mass = _binomial(n, quantile)
    tails = np.cumsum(mass[::-1])[::-1]  # P(B >= k) for k = first..n
    kept = np.nonzero(tails <= (1.0 - confidence) * (1.0 + 1e-12))[0]
    return first + int(kept[0]) if len(kept) else None


@lru_cache(maxsize=16_384)
def lower_rank(n: int, quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> int | None:
    """The rank r in 1..n of the lower bound, or None when n samples are too few."""
    first, mass = _binomial(n, quantile)
    heads = np.cumsum(mass)  # P(B <= k) for k = first..n
    kept = np.nonzero(heads <= (1.0 - confidence) * (1.0 + 1e-12))[0]
    return first + int(kept[-1]) + 1 if len(kept) else None


def _binomial(n: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """The k from which on P(B(n, p) = k) is not negligible (15 deviations), and P for k..n.

    P(k) / P(k - 1) = (n - k + 1) / k * p / (1 - p), by logarithms so that nothing underflows.
    """
    first = max(0, int(n * p - 15.0 * math.sqrt(n * p * (1.0 - p)) - 15.0))
    k = np.arange(first + 1, n + 1)  # [n - first]
    steps = np.log((n - k + 1) / k) + math.log(p / (1.0 - p))
    log_choose = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    log_first = log_choose + first * math.log(p) + (n - first) * math.log1p(-p)
    return first, np.exp(log_first + np.concatenate([[0.0], np.cumsum(steps)]))


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
    return _upper(np.sort(np.asarray(samples)), quantile, confidence, tau)


def lower_bound(
    samples: Samples,
    quantile: float = QUANTILE,
    confidence: float = CONFIDENCE,
    tau: float = 1.0,
) -> float | None:
    """The one-sided lower confidence bound of the quantile; None when nothing is proven."""
    return _lower(np.sort(np.asarray(samples)), quantile, confidence, tau)


def _upper(
    ordered: NDArray[np.float64], quantile: float, confidence: float, tau: float
) -> float | None:
    n = len(ordered)
    worth = int(n / tau)
    rank = upper_rank(worth, quantile, confidence) if worth else None
    if rank is None:
        return None
    scaled = rank if worth == n else math.ceil(n * rank / worth)
    return float(ordered[scaled - 1])


def _lower(
    ordered: NDArray[np.float64], quantile: float, confidence: float, tau: float
) -> float | None:
    n = len(ordered)
    worth = int(n / tau)
    rank = lower_rank(worth, quantile, confidence) if worth else None
    if rank is None:
        return None
    scaled = rank if worth == n else math.floor(n * (rank - 1) / worth) + 1
    return float(ordered[scaled - 1])


def quantile_of(samples: Samples, quantile: float = QUANTILE) -> float:
    """The sample quantile: the smallest sample that at least a share ``quantile`` is not above."""
    rank = max(math.ceil(len(samples) * quantile - 1e-9), 1)
    return float(np.sort(np.asarray(samples))[rank - 1])


def cluster_time(samples: Samples, block: int = 1) -> float:
    """How many samples in a row are worth one independent one (tau >= 1)."""
    return float(cluster_times(np.asarray(samples, np.float64)[None], block)[0])


def cluster_times(
    rows: Rows, block: int = 1, quantile: float = CLUSTER_QUANTILE
) -> NDArray[np.float64]:
    """The same for each row: the worse of the autocorrelation's and the blocks' estimate, for what
    is slower than a share ``quantile`` of it."""
    if rows.shape[1] < 16:
        return np.ones(len(rows))
    slow = _slow(rows, quantile)
    taus = np.maximum(_autocorrelation_times(slow), _block_times(slow, block))
    return np.maximum(taus, 1.0)


def _slow(rows: Rows, quantile: float) -> Rows:
    """1.0 where a sample is slower than a share ``quantile`` of its row, else 0.0.

    Where too many share the highest value for that, these are the slow ones.
    """
    rank = max(math.ceil(rows.shape[1] * quantile - 1e-9), 1)
    borders = np.partition(rows, rank - 1, axis=1)[:, rank - 1 : rank]  # [rows, 1]
    slow = rows > borders
    none = ~slow.any(axis=1)
    slow[none] = rows[none] >= borders[none]
    return slow.astype(np.float64)


def _autocorrelation_times(slow: Rows) -> NDArray[np.float64]:
    """Geyer: tau = -1 + 2 * the sum of the pairs rho(2m) + rho(2m + 1) while they are positive."""
    n = slow.shape[1]
    lags = np.arange(2 * len(range(0, n // 4, 2)))
    size = 1 << (n + len(lags)).bit_length()  # room enough that no lag wraps around
    spectrum = np.fft.rfft(slow, size, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    both = np.rint(np.fft.irfft(power, size, axis=1)[:, : len(lags)])  # pairs of slow ones, exact
    before = np.concatenate([np.zeros((len(slow), 1)), np.cumsum(slow, axis=1)], axis=1)
    total = before[:, -1:]
    mean = total / n
    ends = before[:, n - lags] + total - before[:, lags]  # of the first and of the last n - lag
    covariances = both - mean * ends + (n - lags) * mean**2
    variance = covariances[:, :1]
    rho = np.divide(covariances, variance, out=np.zeros_like(covariances), where=variance > 1e-9)
    pairs = rho[:, 0::2] + rho[:, 1::2]
    positive = np.logical_and.accumulate(pairs > 0.0, axis=1)
    taus: NDArray[np.float64] = -1.0 + 2.0 * np.sum(pairs * positive, axis=1)
    return taus


def _block_times(slow: Rows, block: int) -> NDArray[np.float64]:
    """The design effect: block size * variance of block means / variance of single samples."""
    whole = slow.shape[1] // block
    if block < 2 or whole < 2:
        return np.ones(len(slow))
    means = slow[:, : whole * block].reshape(len(slow), whole, block).mean(axis=2)
    between = block * means.var(axis=1, ddof=1)
    single = slow.var(axis=1)
    design: NDArray[np.float64] = np.ones(len(slow))
    np.divide(between, single, out=design, where=single > 0.0)
    return design


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


Bounds = tuple[float | None, float | None]
"""Lower and upper bound; None where nothing is proven."""


def bounds_at_look(samples: Samples, first: int, cells: int = 1, block: int = 1) -> Bounds:
    """Lower and upper bound of the p95 at the look that this many samples make.

    PASS needs every cell (each process at each context length) below the limit, so the upper
    bound needs no correction for their number (an intersection-union test); FAIL needs only
    one above it, so the lower bound is corrected. ``block`` is the size of a generation block.
    """
    return bounds_at_looks(np.asarray(samples, np.float64)[None], first, cells, block)[0]


def bounds_at_looks(rows: Rows, first: int, cells: int = 1, block: int = 1) -> list[Bounds]:
    """The bounds of each row, all of which are at the same look."""
    look = look_number(rows.shape[1], first)
    low, high = look_confidence(look, cells=cells), look_confidence(look)
    ordered = np.sort(rows, axis=1)
    taus = cluster_times(rows, block).tolist()
    lowers = [_lower(row, QUANTILE, low, tau) for row, tau in zip(ordered, taus, strict=True)]
    if rows.shape[1] < RARE_LEAST:
        uppers = [_upper(row, QUANTILE, high, tau) for row, tau in zip(ordered, taus, strict=True)]
        return list(zip(lowers, uppers, strict=True))
    half = (1.0 + high) / 2.0
    rare = cluster_times(rows, block, RARE_QUANTILE).tolist()
    uppers = [
        _least(_upper(row, QUANTILE, half, tau), _rare_upper(row, half, other))
        for row, tau, other in zip(ordered, taus, rare, strict=True)
    ]
    return list(zip(lowers, uppers, strict=True))


def _rare_upper(ordered: NDArray[np.float64], confidence: float, tau: float) -> float | None:
    """The bound from the clustering of the slowest hundredth, and not below that."""
    bound = _upper(ordered, QUANTILE, confidence, tau)
    return None if bound is None else max(bound, quantile_of(ordered, RARE_QUANTILE))


def _least(one: float | None, other: float | None) -> float | None:
    """The lower of two bounds that hold together; the only one where the other proves nothing."""
    found = [bound for bound in (one, other) if bound is not None]
    return min(found, default=None)


def decided(samples: Samples, limit: float, first: int, cells: int = 1, block: int = 1) -> bool:
    """Whether this look proves the p95 within the limit or over it."""
    lower, upper = bounds_at_look(samples, first, cells, block)
    return (upper is not None and upper <= limit) or (lower is not None and lower > limit)


def share_bounds(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact one-sided bounds of a share of which ``hits`` of ``n`` were seen (Clopper & Pearson
    1934): with no hit, 459 are needed to prove at most 1 %."""
    if n == 0:
        return 0.0, 1.0
    alpha = 1.0 - confidence

    def smallest(holds: Callable[[float], bool]) -> float:
        """The border from which on ``holds``, by halving."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2.0
            low, high = (low, middle) if holds(middle) else (middle, high)
        return high

    def at_most(p: float, count: int) -> float:
        first, mass = _binomial(n, p)
        return float(mass[: max(count - first + 1, 0)].sum())

    lower = 0.0 if hits == 0 else smallest(lambda p: 1.0 - at_most(p, hits - 1) > alpha)
    upper = 1.0 if hits == n else smallest(lambda p: at_most(p, hits) <= alpha)
    return lower, upper
