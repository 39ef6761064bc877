"""Drawings of memory: each phase against the budgets, and what the resident memory is made of."""

from tinytx.measure.memory.attribution import Attribution, Part
from tinytx.measure.pages.axis import Axis
from tinytx.measure.pages.charts import (
    LINE,
    Mark,
    bottom_axis,
    box,
    drawing,
    figure,
    legend,
    marks_above,
    words,
)
from tinytx.measure.pages.figures import MB, limit_in, phases, told
from tinytx.measure.pages.markup import Markup, el, join
from tinytx.measure.pages.tables import numbers_table
from tinytx.measure.record.protocol import Phases
from tinytx.measure.record.report import Report

ROW = 42.0
BAR = 14.0
COLOURS = 12
"""Colours of parts in the style sheet; a thirteenth part begins again."""


def by_phase(report: Report) -> Markup | None:
    """The peak of each phase, and what is held at rest, against both budgets."""
    found = phases(report)
    if not found:
        return None
    worst = max(found, key=lambda one: one.peak)
    bars = _bars(worst)
    marks = [
        Mark(limit, f"{label} {told(limit, 'MB')}", "limit")
        for name, label in (("rss", "limit at rest"), ("peak_memory", "limit of the peak"))
        if (limit := limit_in(report, name, MB)) is not None
    ]
    axis = Axis(0.0, 1.04 * max(*(size for _, size, _ in bars), *(m.figure for m in marks), 1.0))
    top = len(marks) * LINE + 4.0
    bottom = top + ROW * len(bars) + 6.0
    parts = [bottom_axis(axis, top, bottom, "MB"), marks_above(axis, marks, bottom)]
    for place, (label, size, kind) in enumerate(bars):
        parts.append(_bar(top + place * ROW, axis, label, size, kind, worst))
    description = "; ".join(f"{label}: {told(size, 'MB')}" for label, size, _ in bars)
    picture = drawing("phases", "Memory by phase", description, bottom + LINE + 6.0, *parts)
    return figure(picture, _caption(found, worst), _kinds(bool(worst.at_rest.anonymous)))


def _bars(phase: Phases) -> list[tuple[str, float, str]]:
    peaks = (
        ("interpreter and libraries", phase.interpreter),
        ("loading the bundle", phase.load),
        ("reading the prompt", phase.prompt),
        ("writing to the longest context", phase.decode),
    )
    bars = [(label, size / MB, "peak") for label, size in peaks]
    return [*bars, ("at rest afterwards", phase.at_rest.rss / MB, "rest")]


def _bar(y: float, axis: Axis, label: str, size: float, kind: str, phase: Phases) -> Markup:
    text = words(0, y + 15, f"{label}: {told(size, 'MB')}", "label", "start", dx=2)
    if kind == "peak":
        return join(text, box(0, y + 21, axis.at(size), BAR, "peak"))
    heap = axis.at(phase.at_rest.anonymous / MB)
    whole = axis.at(size)
    files = box(heap, y + 21, whole - heap, BAR, "files")
    return join(text, box(0, y + 21, heap, BAR, "heap"), files)


def _kinds(split: bool) -> Markup:
    entries = [("peak", "peak of the phase (VmHWM)")]
    if split:
        entries += [("heap", "at rest: heap and caches"), ("files", "at rest: files (libraries)")]
    return legend(*entries)


def _caption(found: list[Phases], worst: Phases) -> str:
    spread = told((max(p.peak for p in found) - min(p.peak for p in found)) / MB, "MB")
    marks = (
        "Each phase has its own high-water mark."
        if worst.separate
        else "The kernel here allows no reset of the high-water mark, so the phases accumulate."
    )
    return (
        f"The largest of {len(found)} fresh processes; their peaks span {spread}. {marks} "
        f"In swap at rest: {told(worst.at_rest.swap / MB, 'MB')}."
    )


def attribution(report: Report) -> Markup | None:
    """What resident memory is made of, when the bench was asked why."""
    found = report.attribution
    if found is None:
        return None
    if found.trouble or not found.parts:
        return el("p", f"No attribution of memory: {found.trouble or 'no parts'}", class_="bad")
    *named, remainder = found.parts
    named.sort(key=lambda part: part.bytes, reverse=True)
    parts = [(part, f"part{n % COLOURS}") for n, part in enumerate(named)]
    parts.append((remainder, "remainder"))
    sizes = ", ".join(f"{part.name} {told(part.bytes / MB, 'MB')}" for part, _ in parts)
    title = "What resident memory is made of"
    picture = drawing("attribution", title, sizes, 30.0, *_stack(parts))
    rows = [
        (
            join(el("span", class_=f"swatch {kind}"), part.name),
            told(part.bytes / MB, "MB"),
            f"{part.bytes / max(found.total, 1):.1%}",
            part.knob,
        )
        for part, kind in parts
    ]
    headings = ("part", "size", "share", "what would change it")
    return join(
        figure(picture, _explained(found)),
        numbers_table("Parts of resident memory", headings, rows, (1, 2), hidden=True),
    )


def _stack(parts: list[tuple[Part, str]]) -> list[Markup]:
    """The parts side by side, as wide as their shares; a part below 0 has no width."""
    whole = max(sum(max(part.bytes, 0) for part, _ in parts), 1)
    place, pieces = 0.0, []
    for part, kind in parts:
        if part.bytes > 0:
            pieces.append(box(place, 2, part.bytes / whole, 26, f"part {kind}"))
            place += part.bytes / whole
    return pieces


def _explained(found: Attribution) -> str:
    """How much the parts explain, and what other processes can share."""
    files = told((found.total - found.anonymous) / MB, "MB")
    return (
        f"{told(found.total / MB, 'MB')} at rest, of which the parts that are named explain "
        f"{found.explained:.1%}; {files} are pages of files (libraries), which other processes "
        f"can share. The weights are held {found.weight_copies:.2f} times."
    )
