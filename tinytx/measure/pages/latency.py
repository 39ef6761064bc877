"""Drawings of latency: the distribution against the budget, and by context length."""

import math
from collections.abc import Callable

from tinytx.measure.pages.axis import Axis, around, short
from tinytx.measure.pages.charts import (
    LINE,
    WIDTH,
    Mark,
    bottom_axis,
    curve,
    drawing,
    figure,
    legend,
    line,
    marks_above,
    words,
)
from tinytx.measure.pages.figures import MS, Cell, histogram, judged, limit_in, row_of, told
from tinytx.measure.pages.markup import Markup, el, join, number, percent
from tinytx.measure.policy.budgets import Row
from tinytx.measure.record.report import Report

BINS_PER_DECADE = 72
MOST_BINS = 720
HEIGHT = 150.0
SEEN = 2.0
"""Pixels that the bar of a single sample has, so that the tail can be seen."""
NEAR = 3.0
"""A limit at most this many times the slowest figure is drawn on a linear axis."""


def distribution(report: Report, found: list[Cell]) -> Markup | None:
    """Every step of the judged process against the limit, on a logarithmic axis."""
    cell = judged(found)
    if cell is None:
        return None
    marks = _marks(cell, row_of(report, "next_token_p95"))
    axis = around([*(mark.figure for mark in marks), cell.fastest])
    top = len(marks) * LINE + 6.0
    bottom = top + HEIGHT
    told_marks = ", ".join(mark.label for mark in marks)
    title = f"Distribution of {cell.scenario.name} against its budget"
    description = (
        f"Histogram of {cell.count:,} steps on a logarithmic axis in milliseconds. "
        f"Marked: {told_marks}."
    )
    picture = drawing(
        "distribution",
        title,
        description,
        bottom + LINE + 6.0,
        bottom_axis(axis, top, bottom, "ms", 6),
        curve(_steps(cell, axis), top, HEIGHT, "area"),
        marks_above(axis, marks, bottom),
    )
    caption = (
        f"{cell.scenario.name}, process {cell.process}: the one that is judged, since its p95 is "
        f"the highest. {cell.count:,} steps, none left out; logarithmic axis. Height is "
        "the share of steps; a single slow step is drawn tall enough to be seen."
    )
    return figure(picture, caption)


def _marks(cell: Cell, row: Row | None) -> list[Mark]:
    marks = [
        Mark(cell.median, f"median {told(cell.median, 'ms')}", "median"),
        Mark(cell.p95, f"p95 {told(cell.p95, 'ms')}", "p95"),
        Mark(cell.slowest, f"slowest {told(cell.slowest, 'ms')}", "slowest"),
    ]
    if row is not None:
        if row.upper is not None:
            upper = row.upper.base / MS
            marks.append(Mark(upper, f"99 % bound {told(upper, 'ms')}", "bound"))
        limit = row.budget.limit.base / MS
        marks.append(Mark(limit, f"limit {told(limit, 'ms')}", "limit"))
    return marks


def _steps(cell: Cell, axis: Axis) -> str:
    """The histogram as the outline of a filled path: bins of equal width on the axis."""
    decades = (axis.high / axis.low) ** (1.0 / WIDTH)
    count = min(max(int(BINS_PER_DECADE * _decades(axis)), 24), MOST_BINS)
    ratio = decades ** (WIDTH / count)
    edges = [axis.low * ratio**number_ for number_ in range(count + 1)]
    counts = histogram(cell, edges)
    tallest = max(counts)
    wide = WIDTH / count
    path = []
    for place, many in enumerate(counts):
        if many:
            tall = max(HEIGHT * many / tallest, SEEN)
            path.append(
                f"M{number(place * wide)} {number(HEIGHT)}v{number(-tall)}h{number(wide)}"
                f"v{number(tall)}z"
            )
    return "".join(path)


def _decades(axis: Axis) -> float:
    return math.log10(axis.high / axis.low)


def contexts(report: Report, found: list[Cell]) -> Markup | None:
    """Median and p95 of every process by context length, on linear axes from 0."""
    found = [cell for cell in found if cell.scenario.kind == "next_token"]
    if not found:
        return None
    limit = limit_in(report, "next_token_p95", MS)
    highest = max(cell.p95 for cell in found)
    drawn = limit is not None and limit <= NEAR * highest
    top = limit if drawn and limit is not None else highest
    axis = Axis(0.0, max(top, highest) * 1.12)
    longest = max(cell.scenario.length for cell in found)
    across = Axis(-0.18 * longest, 1.05 * longest)  # on the left is room for the scale
    height = 190.0

    def down(ms: float) -> float:
        return LINE + (height - LINE) * (1.0 - axis.at(ms))

    levels = [(down(tick), f"{short(tick)} ms") for tick in axis.ticks(4)]
    parts = [line(0, y, 1, y, "axis" if y == down(0.0) else "grid") for y, _ in levels]
    if drawn and limit is not None:
        parts.append(line(0, down(limit), 1, down(limit), "mark limit"))
        label = f"limit {told(limit, 'ms')}"
        parts.append(words(1, down(limit) - 5, label, "label limit", "end"))
    names = sorted({cell.scenario.length for cell in found})
    parts += [words(across.at(n), height + LINE, f"{n:,}", "tick") for n in names]
    parts += [_dots(cell, across.at(cell.scenario.length), down) for cell in found]
    parts += [words(0, y - 4, text, "tick", "start") for y, text in levels]
    worst = {n: max(cell.p95 for cell in found if cell.scenario.length == n) for n in names}
    description = "; ".join(f"{n:,} tokens: highest p95 {told(worst[n], 'ms')}" for n in names)
    picture = drawing(
        "contexts", "Next token by context length", description, height + LINE + 6.0, *parts
    )
    far = ""
    if limit is not None and not drawn:
        far = f" The limit, {told(limit, 'ms')}, is {limit / highest:,.0f} times the highest p95."
    caption = f"Across: context length in tokens. One dot per fresh process.{far}"
    return figure(picture, caption, legend(("dot-median", "median"), ("dot-p95", "p95")))


def _dots(cell: Cell, x: float, down: Callable[[float], float]) -> Markup:
    """Median and p95 of one process, beside those of the others."""
    aside = 9.0 * (cell.process - (len(cell.scenario.processes) + 1) / 2)
    shift = f"translate({number(max(min(aside, 30.0), -30.0))} 0)"
    place = {"cx": percent(x), "transform": shift}
    ends = {"x1": percent(x), "x2": percent(x), "transform": shift}
    return join(
        el("line", y1=down(cell.median), y2=down(cell.p95), class_="stem", **ends),
        el("circle", cy=down(cell.median), r=4, class_="dot-median", **place),
        el("circle", cy=down(cell.p95), r=4.5, class_="dot-p95", **place),
    )
