"""What the drawings share. Widths are shares of the page, heights are pixels.

So a drawing fills a phone and a desktop alike while its text keeps its size: places along the
width are percentages, and curves lie in an inner drawing that is stretched (their strokes are not).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinytx.measure.pages.axis import Axis, short
from tinytx.measure.pages.markup import Child, Markup, clean, el, join, number, percent

WIDTH = 1000.0
"""Units of a curve's own width."""
LINE = 16.0
"""Pixels between two lines of text."""
LETTER = 0.0205
"""Share of a phone's width that a letter takes."""


@dataclass(frozen=True)
class Mark:
    """A figure that is marked along an axis, with a word for it."""

    figure: float
    label: str
    kind: str


def drawing(name: str, title: str, description: str, height: float, *children: Child) -> Markup:
    """One drawing, with what a screen reader says instead. ``name`` is unique on its page."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        *children,
        class_="chart",
        width="100%",
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def figure(picture: Markup, caption: Child, *more: Child) -> Markup:
    """A drawing with the words below it."""
    return el("figure", picture, *more, el("figcaption", caption))


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "", dx: float = 0) -> Markup:
    """Text at a share of the width."""
    return el(
        "text",
        clean(text),
        x=percent(x),
        y=y,
        dx=dx or None,
        class_=kind or None,
        text_anchor=anchor or _anchor(x),
    )


def _anchor(x: float) -> str:
    return "start" if x < 0.03 else "end" if x > 0.97 else "middle"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return el("line", x1=percent(x1), y1=y1, x2=percent(x2), y2=y2, class_=kind)


def box(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    """A rectangle, at least a hair wide."""
    wide = percent(max(width, 0.0015))
    return el("rect", x=percent(x), y=y, width=wide, height=height, class_=kind)


def curve(path: str, y: float, height: float, kind: str) -> Markup:
    """A path whose x runs from 0 to :data:`WIDTH` and whose y is in pixels."""
    return el(
        "svg",
        el("path", d=path, class_=kind, vector_effect="non-scaling-stroke"),
        x=0,
        y=y,
        width="100%",
        height=height,
        viewBox=f"0 0 {number(WIDTH)} {number(height)}",
        preserveAspectRatio="none",
    )


def bottom_axis(axis: Axis, top: float, bottom: float, unit: str, wanted: int = 5) -> Markup:
    """Grid lines, their figures, and the axis itself; the last figure bears the unit."""
    ticks = axis.ticks(wanted)
    parts = [line(axis.at(tick), top, axis.at(tick), bottom, "grid") for tick in ticks]
    parts.append(line(0, bottom, 1, bottom, "axis"))
    for tick in ticks:
        text = f"{short(tick)} {unit}" if tick == ticks[-1] else short(tick)
        parts.append(words(axis.at(tick), bottom + LINE, text, "tick"))
    return join(parts)


def marks_above(axis: Axis, marks: Sequence[Mark], bottom: float) -> Markup:
    """Each mark's line and, one below the other so that none overlap, its words."""
    lines, texts = [], []
    for row, mark in enumerate(sorted(marks, key=lambda mark: mark.figure)):
        x, y = axis.at(mark.figure), row * LINE
        left = x + LETTER * len(mark.label) > 1.0  # no room on its right
        lines.append(line(x, y, x, bottom, f"mark {mark.kind}"))
        anchor, dx = ("end", -6.0) if left else ("start", 6.0)
        texts.append(words(x, y + 11.0, mark.label, f"label {mark.kind}", anchor, dx))
    return join(lines, texts)


def legend(*entries: tuple[str, str]) -> Markup:
    """(class of the swatch, words) for each kind of thing that a drawing shows."""
    items = [el("li", el("span", class_=f"swatch {kind}"), text) for kind, text in entries]
    return el("ul", *items, class_="legend")
