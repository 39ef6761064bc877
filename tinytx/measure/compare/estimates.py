"""How much two sides differ, with confidence limits that a few processes can support.

Steps of one process are correlated, and processes of the same bundle differ from each other
(memory layout, frequency, neighbours). So the unit of inference is the process: it contributes
one number per figure, its median for example. All arithmetic is on logarithms, where a change in
per cent is a shift: d = ln(b / a).

Interleaved pairs: the exact interval of Wilcoxon's signed-rank test (Hollander, Wolfe & Chicken
2014, "Nonparametric Statistical Methods", 3.1 to 3.3). When A and B are the same, each d is as
likely to be +x as -x, whatever the shape of the distribution; nothing else is assumed. For n pairs

    the Walsh averages (d_i + d_j) / 2, i <= j, sorted: w(1) <= ... <= w(M), M = n (n + 1) / 2
    estimate: their median (Hodges and Lehmann)
    interval: w(c + 1) ... w(M - c), with the largest c for which P(W <= c) <= alpha / 2,
    where W is the sum of a random subset of 1..n: P(W <= 0) = 2^-n

Reports that were made one after the other have no pairs. There Student's t on the processes of
each side is used, see :func:`unpaired`.

Several figures are compared at once. Each gets the confidence 1 - alpha / (number of figures), so
that all intervals hold together (Bonferroni): the chance that any of them shows a difference
where there is none is at most alpha.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec
import numpy as np

PAIRS = 22
"""So many, by default, that one pair that was disturbed cannot hide a difference in any of the 17
figures of the default scenarios; and even, so that each side comes first equally often."""
ROUNDING = 1e-12
POWER = 0.9
"""The probability with which the "smallest difference that could be seen" would be seen."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """B against A as shares: 0.05 means that B's figure is 5 % higher."""

    change: float
    lower: float | None = None
    """Confidence limits; None when there are too few processes for any."""
    upper: float | None = None
    smallest: float | None = None
    """A change that would have been shown in nine of ten such runs."""

    @property
    def sign(self) -> int:
        """+1 when B is proven higher, -1 when it is proven lower, else 0."""
        if self.lower is None or self.upper is None:
            return 0
        return int(self.lower > 0.0) - int(self.upper < 0.0)


def together(confidence: float, figures: int) -> float:
    """The confidence of each of so many intervals that hold together with ``confidence``."""
    return 1.0 - (1.0 - confidence) / max(figures, 1)


def pairs_needed(confidence: float) -> int:
    """The smallest number of pairs that can prove anything: 2^-n <= alpha / 2."""
    return math.ceil(1.0 - math.log2(1.0 - confidence) - 1e-9)


@lru_cache(maxsize=64)
def signed_rank_cut(n: int, confidence: float) -> int | None:
    """The largest c with P(W <= c) <= alpha / 2, or None when even P(W <= 0) is above that."""
    total = n * (n + 1) // 2
    chance = np.zeros(total + 1)  # chance[s]: P(sum of a random subset of 1..k is s), k = 0..n
    chance[0] = 1.0
    for rank in range(1, n + 1):
        with_rank = np.zeros_like(chance)
        with_rank[rank:] = chance[: total + 1 - rank]
        chance = (chance + with_rank) / 2.0
    within = int(np.searchsorted(np.cumsum(chance), (1.0 - confidence) / 2.0 * (1 + 1e-9), "right"))
    return within - 1 if within else None


def paired(a: Sequence[float], b: Sequence[float], confidence: float) -> Difference:
    """The difference of pairs (a[i], b[i]) of positive figures that were measured together."""
    d = np.log(np.asarray(b, float) / np.asarray(a, float))  # [n]
    n = len(d)
    i, j = np.triu_indices(n)
    walsh = np.sort((d[i] + d[j]) / 2.0)  # [n (n + 1) / 2]
    change = float(np.median(walsh))
    cut = signed_rank_cut(n, confidence)
    if cut is None:
        return Difference(change=math.expm1(change))
    lower, upper = float(walsh[cut]), float(walsh[-1 - cut])
    critical = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    return _difference(change, lower, upper, critical, 0.0)


def unpaired(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float,
    *,
    like: Sequence[tuple[Sequence[float], Sequence[float]]] = (),
    drift: float = 0.0,
) -> Difference:
    """The difference of two groups of processes that ran at different times.

    With three processes a side the spread is hardly known: three that happen to agree would
    prove anything. So the spread is also taken over ``like``, the (a, b) of figures of the same
    kind, and the wider of the two intervals counts. ``drift`` is a share by which the machine
    itself may have changed between the two: the interval is wider by that on both sides.
    """
    x, y = np.log(np.asarray(a, float)), np.log(np.asarray(b, float))
    change = float(y.mean() - x.mean())
    own, group = _spread([(a, b)]), _spread([(a, b), *like])
    if own is None or group is None:
        return Difference(change=math.expm1(change))
    size = math.sqrt(1.0 / len(x) + 1.0 / len(y))
    halves = [
        (student_quantile(df, confidence) * s * size, student_quantile(df, confidence))
        for s, df in (own, group)
    ]
    half, critical = max(halves)
    slack = math.log1p(drift)
    lower, upper = change - half - slack, change + half + slack
    return _difference(change, lower, upper, critical, slack)


def _difference(
    change: float, lower: float, upper: float, critical: float, slack: float
) -> Difference:
    """From logarithms to shares. ``critical`` is the interval's half width in standard errors.

    An interval excludes 0 in half of all runs when the true difference is its half width h, and
    in nine of ten when it is h + z(0.9) standard errors = h (1 + z(0.9) / critical).
    """
    half = (upper - lower) / 2.0
    visible = half + (half - slack) * NormalDist().inv_cdf(POWER) / critical
    return Difference(
        change=math.expm1(change),
        lower=_share(lower),
        upper=_share(upper),
        smallest=math.expm1(visible),
    )


def _share(logarithm: float) -> float:
    """An end of an interval; one that is 0 but for rounding must not exclude 0 on one side only."""
    return 0.0 if abs(logarithm) < ROUNDING else math.expm1(logarithm)


def _spread(
    groups: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[float, int] | None:
    """Standard deviation within the sides, pooled over them, and its degrees of freedom."""
    squares, df = 0.0, 0
    for side in (side for pair in groups for side in pair):
        x = np.log(np.asarray(side, float))
        squares += float(((x - x.mean()) ** 2).sum())
        df += len(x) - 1
    return (math.sqrt(squares / df), df) if df else None


@lru_cache(maxsize=256)
def student_quantile(df: int, confidence: float) -> float:
    """The t with P(|T| <= t) = confidence for Student's T with ``df`` degrees of freedom."""
    low, high = 0.0, 1.0
    while _student_within(high, df) < confidence:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _student_within(middle, df) < confidence else (low, middle)
    return high


def _student_within(t: float, df: int) -> float:
    """P(|T| <= t): the finite sums of Abramowitz & Stegun 1964, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(df))
    cosine = math.cos(angle) ** 2
    odd = df % 2
    term = math.cos(angle) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(3 if odd else 2, df - 1, 2):  # term k: cos^k, or cos^(k+1), times a ratio
        term *= cosine * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    return (angle + within) * 2.0 / math.pi if odd else within
