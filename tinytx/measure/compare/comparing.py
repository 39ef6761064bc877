"""Two reports, or two bundles measured in turns: which figures differ, and by how much."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tinytx.bundle import GRAPH, GRAPHS
from tinytx.measure import stats
from tinytx.measure.compare import eligibility
from tinytx.measure.compare.estimates import Difference, paired, pairs_needed, together, unpaired
from tinytx.measure.compare.findings import (
    WORDS,
    Compared,
    Comparison,
    Finding,
    Side,
    signed,
    some,
)
from tinytx.measure.compare.interleave import Interleaved
from tinytx.measure.policy.budgets import Quantity
from tinytx.measure.record.protocol import Answer, Phases
from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import BundleFacts, Report
from tinytx.measure.run.bench import bundle_facts
from tinytx.wording import counted

DRIFT = {"latency": 0.03, "memory": 0.01}
"""How much a machine itself may change from one report to the next, as a share: see
docs/decisions/0010-how-two-bundles-are-compared.md for the figures behind it."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One figure as it was measured: one value per process, in bytes or nanoseconds."""

    name: str
    kind: str
    unit: str
    group: str
    """Figures of one group have a like spread."""
    a: list[float]
    b: list[float]
    reason: str


def _quantile(quantile: float) -> Callable[[Answer], float | None]:
    return lambda one: stats.quantile_of(one.samples_ns, quantile) if one.samples_ns else None


def _memory(figure: Callable[[Phases], int]) -> Callable[[Answer], float | None]:
    return lambda one: float(figure(one.memory)) if one.memory else None


STATISTICS: dict[str, dict[str, tuple[str, str, Callable[[Answer], float | None]]]] = {
    "next_token": {
        "p10": ("latency", "ms", _quantile(0.1)),
        "median": ("latency", "ms", _quantile(0.5)),
        "p95": ("latency", "ms", _quantile(stats.QUANTILE)),
    },
    "first_token": {
        "p10": ("latency", "ms", _quantile(0.1)),
        "median": ("latency", "ms", _quantile(0.5)),
    },
    "memory": {
        "at rest (RSS)": ("memory", "MB", _memory(lambda phases: phases.at_rest.rss)),
        "peak": ("memory", "MB", _memory(lambda phases: phases.peak)),
    },
}
"""By kind of scenario and name of the figure: its kind, its unit, and its value in one process.

The p10 is the step that nothing disturbed: on a busy machine it varies five times less from
process to process than the median does, so it sees the smallest slowdown of the engine itself.
"""


def compare_bundles(run: Interleaved) -> Comparison:
    """What two bundles measured in turns prove."""
    figures = []
    for scenario in run.scenarios:
        a, b = [one for one, _ in scenario.pairs], [other for _, other in scenario.pairs]
        figures += _measured(scenario.name, scenario.kind, a, b, scenario.trouble)
    confidence = together(stats.CONFIDENCE, len(figures))
    invalid, warnings = eligibility.of_run(run)
    judged = [
        _judge(one, None if one.reason else paired(one.a, one.b, confidence), invalid)
        for one in figures
    ]
    facts = [bundle_facts(bundle) for bundle in run.bundles]
    return Comparison(
        mode="interleaved",
        a=_side(facts[0], facts[0].path),
        b=_side(facts[1], facts[1].path),
        confidence=stats.CONFIDENCE,
        basis=f"{counted(run.done, 'pair')} of fresh processes for each scenario, in the order "
        "A B B A; exact intervals of the signed-rank test, each process being one figure",
        figures=[*judged, *_still(facts[0], facts[1])],
        warnings=[
            *_few_pairs(run, confidence),
            *_contrary(judged, "pair by pair"),
            *warnings,
            *eligibility.of_facts(*facts),
        ],
        invalid=invalid,
        seconds=run.seconds,
        settings=msgspec.to_builtins(run.policy),
    )


def compare_files(
    a: Path, b: Path, different_machines: bool = False, different_settings: bool = False
) -> Comparison:
    """What two stored reports prove.

    Raises :class:`UsageError` when one cannot be read, or when they are of different machines or
    settings and that is not allowed.
    """
    reports = read_report(a), read_report(b)
    eligibility.check_reports(*reports, different_machines, different_settings)
    return compare_reports(*reports, (str(a), str(b)))


def compare_reports(a: Report, b: Report, paths: tuple[str, str] = ("A", "B")) -> Comparison:
    """What two reports prove; whether they may be compared at all is not asked."""
    theirs = {scenario.name: scenario for scenario in b.scenarios}
    ours = {scenario.name for scenario in a.scenarios}
    figures = []
    for one in a.scenarios:
        other = theirs.get(one.name)
        trouble = [*one.troubles, *(other.troubles if other else ["only A has it"])]
        answers = other.answers if other else []
        figures += _measured(one.name, one.kind, one.answers, answers, "".join(trouble[:1]))
    for name, only in theirs.items():
        if name not in ours:
            figures += _measured(name, only.kind, [], only.answers, "only B has it")
    confidence = together(stats.CONFIDENCE, len(figures))
    invalid, warnings = eligibility.of_reports(a, b)
    judged = [_judge(one, _unpaired(one, figures, confidence), invalid) for one in figures]
    counts = [[len(s.answers) for s in report.scenarios] for report in (a, b)]
    told = " and ".join(str(min(count, default=0)) for count in counts)
    return Comparison(
        mode="reports",
        a=_side(a.bundle, paths[0], a.started_at),
        b=_side(b.bundle, paths[1], b.started_at),
        confidence=stats.CONFIDENCE,
        basis=f"{told} processes for each scenario, one report after the other; Student's t on "
        "processes, wider by what a machine changes between two reports "
        f"(latency {DRIFT['latency']:.0%}, memory {DRIFT['memory']:.0%})",
        figures=[*judged, *_still(a.bundle, b.bundle)],
        warnings=[
            *_contrary(judged, "over all processes"),
            *warnings,
            *eligibility.of_facts(a.bundle, b.bundle),
        ],
        invalid=invalid,
        settings={"a": a.settings, "b": b.settings},
    )


def _side(facts: BundleFacts, path: str, started_at: str = "") -> Side:
    return Side(bundle=facts.id, path=path, precision=facts.precision, started_at=started_at)


def _measured(
    scenario: str, kind: str, a: Sequence[Answer], b: Sequence[Answer], reason: str
) -> list[Measured]:
    """The figures of one scenario; none for a kind that is not compared."""
    found = []
    for name, (what, unit, value) in STATISTICS.get(kind, {}).items():
        sides = [[v for one in answers if (v := value(one)) is not None] for answers in (a, b)]
        why = reason or _unusable(sides)
        found.append(
            Measured(
                name=f"{scenario}, {name}",
                kind=what,
                unit=unit,
                group=f"{kind}, {name}",
                a=sides[0],
                b=sides[1],
                reason=why,
            )
        )
    return found


def _unusable(sides: list[list[float]]) -> str:
    if not all(sides):
        return "there are no samples of it"
    return "" if min(map(min, sides)) > 0.0 else "a figure of it is not above zero"


def _unpaired(one: Measured, figures: list[Measured], confidence: float) -> Difference | None:
    if one.reason:
        return None
    like = [
        (other.a, other.b)
        for other in figures
        if other.group == one.group and other is not one and not other.reason
    ]
    return unpaired(one.a, one.b, confidence, like=like, drift=DRIFT[one.kind])


def _judge(one: Measured, difference: Difference | None, invalid: eligibility.Invalid) -> Compared:
    told = [[Quantity.of(value, one.unit).amount for value in side] for side in (one.a, one.b)]
    middle = [Quantity(statistics.median(side), one.unit) if side else None for side in told]
    finding, reason = Finding.UNMEASURED, one.reason
    if difference is not None:
        lower, higher = WORDS[one.kind]
        finding = {-1: lower, 0: Finding.NONE, 1: higher}[difference.sign]
        if one.kind in invalid:
            finding = Finding.INVALID
        elif difference.lower is None:
            reason = "there are too few processes to prove anything"
    return Compared(
        name=one.name,
        kind=one.kind,
        finding=finding,
        a=middle[0],
        b=middle[1],
        difference=difference,
        processes_a=told[0],
        processes_b=told[1],
        reason=reason,
    )


def _still(a: BundleFacts, b: BundleFacts) -> list[Compared]:
    """Figures that do not vary: they are what the manifests say."""
    graphs = {str(precision): name for precision, name in GRAPHS.items()}
    names = [graphs.get(facts.precision, GRAPH) for facts in (a, b)]
    sizes = [Quantity.of(f.files.get(name, 0), "MB") for f, name in zip((a, b), names, strict=True)]
    bits = [Quantity(facts.bits_per_byte, "bits/byte") for facts in (a, b)]
    reason = eligibility.of_quality(a, b)
    return [
        _exact("model size", "size", sizes[0], sizes[1], ""),
        _exact("bits per byte", "quality", bits[0], bits[1], reason),
    ]


def _exact(name: str, kind: str, a: Quantity, b: Quantity, reason: str) -> Compared:
    if reason or a.amount <= 0.0 or b.amount <= 0.0:
        why = reason or "one of the reports does not have it"
        return Compared(name=name, kind=kind, finding=Finding.INCOMPARABLE, a=a, b=b, reason=why)
    change = b.amount / a.amount - 1.0
    finding = Finding.SAME if change == 0.0 else WORDS[kind][int(change > 0.0)]
    exact = Difference(change=change, lower=change, upper=change, smallest=0.0)
    return Compared(name=name, kind=kind, finding=finding, a=a, b=b, difference=exact)


def _contrary(figures: list[Compared], how: str) -> list[str]:
    """Where the medians shown for A and B differ one way and the change goes the other."""
    names = [
        one.name
        for one in figures
        if one.a and one.b and one.difference and str(one.a) != str(one.b)
        if (one.b.amount - one.a.amount) * one.difference.change < 0.0
        if signed(one.difference.change)[0] in "+->"
    ]
    if not names:
        return []
    return [
        f"{some(names)}: the medians of A and B go one way and the change the other; the change is "
        f"what counts, it is taken {how}"
    ]


def _few_pairs(run: Interleaved, confidence: float) -> list[str]:
    needed = pairs_needed(confidence)
    if run.done < needed:
        seconds = run.seconds / max(run.done, 1) * needed
        return [
            f"{counted(run.done, 'pair')} can prove nothing: {needed} are needed, which takes "
            f"about {seconds:,.0f} s (--pairs, --time-limit)"
        ]
    if run.done < run.wanted:
        return [f"the time limit ended it after {run.done} of {counted(run.wanted, 'pair')}"]
    return []
