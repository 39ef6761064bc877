"""What a comparison found, figure by figure and in one sentence."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from tinytx.errors import BudgetFailed, MeasurementInvalid, TinytxError
from tinytx.measure.compare.estimates import Difference
from tinytx.measure.policy.budgets import Quantity
from tinytx.wording import counted

SCHEMA = 1
MOST_TOLD = 999
"""Per cent: an interval that ends beyond says only that nothing is known."""


class Finding(StrEnum):
    """What a figure of B proves against the same figure of A."""

    FASTER = "faster"
    SLOWER = "slower"
    SMALLER = "smaller"
    LARGER = "larger"
    BETTER = "better"
    WORSE = "worse"
    SAME = "the same"
    NONE = "no difference shown"
    INVALID = "invalid"
    UNMEASURED = "not measured"
    INCOMPARABLE = "not comparable"


WORDS = {
    "latency": (Finding.FASTER, Finding.SLOWER),
    "memory": (Finding.SMALLER, Finding.LARGER),
    "size": (Finding.SMALLER, Finding.LARGER),
    "quality": (Finding.BETTER, Finding.WORSE),
}
"""The finding for a lower and for a higher figure of B."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared."""

    bundle: str
    """Its id."""
    path: str
    """Of the report or of the bundle, as the user gave it."""
    precision: str
    started_at: str = ""
    """ISO 8601, UTC, for a report."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both sides."""

    name: str
    kind: str
    """latency, memory, size or quality."""
    finding: Finding
    a: Quantity | None = None
    """The median over the processes."""
    b: Quantity | None = None
    difference: Difference | None = None
    processes_a: list[float] = []
    """One figure per process, in the unit of ``a``; pairs lie at the same index."""
    processes_b: list[float] = []
    reason: str = ""
    """Why there is no finding."""

    @property
    def proven(self) -> bool:
        return any(self.finding in words for words in WORDS.values())


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it."""

    schema: int = SCHEMA
    mode: str
    """reports or interleaved."""
    a: Side
    b: Side
    confidence: float
    """With which all intervals hold together."""
    basis: str
    """How many processes there were, and how the intervals came about."""
    figures: list[Compared]
    warnings: list[str]
    invalid: dict[str, list[str]]
    """Why all figures of a kind prove nothing: what the machine did."""
    seconds: float = 0.0
    settings: dict[str, object] = {}

    @property
    def overall(self) -> str:
        """One sentence."""
        unmeasured = sum(figure.finding is Finding.UNMEASURED for figure in self.figures)
        parts = []
        for finding in Finding:
            told = [_by(f) for f in self.figures if f.proven and f.finding is finding]
            if told:
                parts.append(f"B is {finding} in {_list(told)}")
        still_open = [f.difference for f in self.figures if f.finding is Finding.NONE]
        if any(change and change.lower is not None for change in still_open):
            rest = "no difference shown" + (" in the rest" if parts else "")
            parts.append(rest + self._visible())
        elif still_open:
            parts.append("nothing can be proven by so few processes")
        if self.invalid:
            kinds = " and ".join(self.invalid)
            one = len(self.invalid) == 1
            parts.append(f"{kinds} {'is' if one else 'are'} INVALID and prove{'s' * one} nothing")
        if not parts:
            parts.append("nothing could be compared" if unmeasured else "A and B are the same")
        if unmeasured:
            parts.append(f"{counted(unmeasured, 'figure')} not measured")
        sentence = "; ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."

    def _visible(self) -> str:
        """The smallest differences that would have been seen, for latency and for memory."""
        told = []
        for kind in ("latency", "memory"):
            sizes = sorted(
                figure.difference.smallest or 0.0
                for figure in self.figures
                if figure.kind == kind and figure.difference and figure.finding is Finding.NONE
            )
            if sizes:
                first, last = share(sizes[0]), share(sizes[-1])
                told.append(f"in {kind} {first}" + (f" to {last}" if last != first else ""))
        return f" (what would have been seen: {', '.join(told)})" if told else ""


def some(names: list[str]) -> str:
    """Names one by one, or how many they are."""
    return ", ".join(names) if len(names) < 4 else f"{len(names)} figures"


def share(part: float) -> str:
    """A share in per cent, with two or three digits: 0.0512 is "5.1 %"."""
    per_cent = abs(part) * 100.0
    if per_cent > MOST_TOLD:
        return f">{MOST_TOLD} %"
    digits = 2 if per_cent < 0.995 else 1 if per_cent < 9.95 else 0
    return f"{per_cent:.{digits}f} %"


def signed(part: float) -> str:
    """A change in per cent with its sign: -0.0512 is "-5.1 %"."""
    told = share(part)
    if not told.strip("0. %"):
        return told
    sign = "-" if part < 0 else "+"
    return f">{sign}{told[1:]}" if told.startswith(">") else sign + told


def document(comparison: Comparison) -> dict[str, object]:
    """The comparison as JSON can hold it."""
    plain: dict[str, object] = msgspec.to_builtins(comparison)
    return {**plain, "overall": comparison.overall}


def failure(comparison: Comparison, slower_than: float) -> TinytxError | None:
    """The error for ``--fail-if-slower``, a share: exit code 7 or 8, or None.

    8 when the latency was not measured or proves nothing: a gate that cannot see must not open.
    """
    latency = [figure for figure in comparison.figures if figure.kind == "latency"]
    if reasons := comparison.invalid.get("latency"):
        return MeasurementInvalid(f"whether B is slower is not known: {reasons[0]}")
    slow = [
        f"{figure.name} by at least {share(lower)}"
        for figure in latency
        if figure.difference and (lower := figure.difference.lower or 0.0) > slower_than
    ]
    if slow:
        return BudgetFailed(f"B is slower than {share(slower_than)} allows: {_list(slow)}")
    blind = [f.name for f in latency if f.difference is None or f.difference.lower is None]
    if blind or not latency:
        return MeasurementInvalid(f"whether B is slower is not known: {_list(blind) or 'latency'}")
    return None


def unseen(comparison: Comparison, slower_than: float) -> str:
    """What ``--fail-if-slower`` could have overlooked, or ""."""
    latency = [f.difference for f in comparison.figures if f.kind == "latency" and f.difference]
    dim = sum(change.smallest is None or change.smallest > slower_than for change in latency)
    if not dim:
        return ""
    return (
        f"in {dim} of {counted(len(latency), 'latency figure')} a slowdown of "
        f"{share(slower_than)} could have been overlooked"
    )


def _by(figure: Compared) -> str:
    change = figure.difference
    if change is None:
        return figure.name
    exact = change.lower is None or change.upper is None or change.lower == change.upper
    if exact:
        return f"{figure.name} by {share(change.change)}"
    ends = sorted((abs(change.lower or 0.0), abs(change.upper or 0.0)))
    return f"{figure.name} by {share(change.change)} ({share(ends[0])} to {share(ends[1])})"


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
