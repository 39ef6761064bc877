"""The verdicts: a table whose rows also lie on one scale, the limit at the same place in each."""

from tinytx.measure.pages.axis import Axis
from tinytx.measure.pages.charts import box, drawing, line, words
from tinytx.measure.pages.figures import told
from tinytx.measure.pages.markup import Markup, el, join, percent
from tinytx.measure.policy.budgets import Quantity, Row, Verdict
from tinytx.measure.record.report import Report

SIGNS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.INVALID: "?"}
LEAST = 1e-3
MOST = 1e3
"""The scale holds shares of the limit between these; what lies beyond is drawn at its end."""


def badge(verdict: Verdict) -> Markup:
    """The word in its colour, with a sign for who sees no colours."""
    sign = el("span", SIGNS[verdict], aria_hidden="true")
    return el("span", sign, " ", str(verdict), class_=f"badge {verdict.lower()}")


def summary(report: Report) -> str:
    """One sentence about all budgets."""
    rows = report.budgets
    count = {verdict: sum(row.verdict is verdict for row in rows) for verdict in Verdict}
    if not rows:
        return "No budget was judged"
    if count[Verdict.PASS] == len(rows):
        return f"All {len(rows)} budgets are kept" if len(rows) > 1 else "The budget is kept"
    bad = ((count[Verdict.FAIL], "over the limit"), (count[Verdict.INVALID], "not proven"))
    (number, word), *others = [one for one in bad if one[0]]
    more = "".join(f", {number} {word}" for number, word in others)
    budgets = "budget" if len(rows) == 1 else "budgets"
    return f"{number} of {len(rows)} {budgets} {word}{more}"


def table(report: Report) -> Markup:
    """One row per budget."""
    axis = _scale(report.budgets)
    headings = ("Budget", "Measured", "99 % bound", "Limit", _head(axis), "Verdict")
    kinds = ("", "figure", "figure", "figure", "scale", "")
    head = [
        el("th", text, scope="col", role="columnheader", class_=kind or None)
        for text, kind in zip(headings, kinds, strict=True)
    ]
    body = [_row(row, number, axis) for number, row in enumerate(report.budgets)]
    # The roles say again what the elements mean, since a phone shows the rows as blocks.
    return el(
        "table",
        el("caption", "Each figure, its confidence bound and its limit", class_="hidden"),
        el("thead", el("tr", *head, role="row"), role="rowgroup"),
        el("tbody", *body, role="rowgroup"),
        role="table",
        class_="verdicts",
    )


def reasons(report: Report) -> Markup:
    """Why a budget did not pass."""
    items = [
        el("li", badge(row.verdict), " ", el("strong", row.budget.title), f": {row.reason}")
        for row in report.budgets
        if row.reason
    ]
    return el("ul", *items, class_="reasons") if items else Markup()


def _row(row: Row, number: int, axis: Axis) -> Markup:
    limit = f"{'<' if row.budget.strict else '≤'} {row.budget.limit}"
    cells = [
        ("measured", "Measured", _figure(row.measured)),
        ("bound", "99 % bound", _figure(row.upper)),
        ("limit", "Limit", limit),
    ]
    return el(
        "tr",
        el("th", row.budget.title, scope="row", role="rowheader"),
        *(
            el("td", text, role="cell", class_=f"figure {kind}", data_label=label)
            for kind, label, text in cells
        ),
        el("td", _place(row, number, axis), role="cell", class_="scale"),
        el("td", badge(row.verdict), role="cell", class_="verdict"),
        role="row",
    )


def _figure(quantity: Quantity | None) -> str:
    return "–" if quantity is None else str(quantity)


def _scale(rows: list[Row]) -> Axis:
    """Shares of the limit, logarithmic: from the smallest figure to a little over the limit."""
    shares = [1.0]
    for row in rows:
        bounds = (row.lower, row.measured, row.upper)
        shares += [one.base / row.budget.limit.base for one in bounds if one is not None]
    low, high = max(min(shares) / 1.6, LEAST), min(max(shares) * 1.3, MOST)
    return Axis(min(low, 0.08), max(high, 2.0), log=True)


def _place(row: Row, number: int, axis: Axis) -> Markup:
    """The row's interval and figure, with the limit as a line across."""
    limit = row.budget.limit.base
    at = {
        name: axis.at(one.base / limit)
        for name, one in (("lower", row.lower), ("measured", row.measured), ("upper", row.upper))
        if one is not None
    }
    end = axis.at(1.0)
    parts = [box(0, 9, end, 6, "within"), box(end, 9, 1.0 - end, 6, "beyond")]
    if "upper" in at:
        start = min(at.get("lower", at["upper"]), at["upper"])
        parts.append(box(start, 9, at["upper"] - start, 6, f"interval {row.verdict.lower()}"))
        parts.append(line(at["upper"], 6, at["upper"], 18, f"stop {row.verdict.lower()}"))
    parts.append(line(end, 2, end, 22, "mark limit"))
    share = "not measured"
    if "measured" in at and row.measured is not None:
        kind = f"point {row.verdict.lower()}"
        parts.append(el("circle", cx=percent(at["measured"]), cy=12, r=5, class_=kind))
        share = told(100.0 * row.measured.base / limit, "%")
    title = f"{row.budget.title}: {share} of the limit"
    description = f"The limit is {row.budget.limit}."
    return drawing(f"scale{number}", title, description, 24.0, *parts)


def _head(axis: Axis) -> Markup:
    """The heading of the scale: its name, and below it where 1 %, 10 % and the limit are."""
    ticks = [tick for tick in axis.ticks(3) if 1e-9 < tick < 0.5]
    marks = [words(axis.at(tick), 12, f"{100 * tick:g} %", "tick") for tick in ticks]
    marks.append(words(axis.at(1.0), 12, "limit", "label limit"))
    scale = el("svg", *marks, class_="chart", width="100%", height=16, aria_hidden="true")
    return join("Share of the limit", scale)
