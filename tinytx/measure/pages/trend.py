"""The trend over stored reports, as an HTML page and as Markdown."""

from tinytx.measure.compare.history import History, Series, change, measured, sparkline
from tinytx.measure.pages.axis import Axis, short
from tinytx.measure.pages.charts import LINE, WIDTH, curve, drawing, figure, legend, line, words
from tinytx.measure.pages.html import page, when
from tinytx.measure.pages.markdown import code, grid, text
from tinytx.measure.pages.markup import Markup, el, join, number, percent
from tinytx.measure.pages.tables import numbers_table, section
from tinytx.measure.pages.verdicts import badge
from tinytx.measure.policy.budgets import FIGURES, UNITS, Row
from tinytx.wording import counted

HEIGHT = 96.0
NEAR = 3.0
"""A limit at most this many times the largest figure is drawn; a farther one is told."""


def render(history: History) -> str:
    """The page: for each machine one drawing per budget, then all its reports."""
    count = sum(len(series.points) for series in history.series)
    header = el(
        "header",
        el("p", "tinytx bench", class_="overline"),
        el("h1", f"The trend over {counted(count, 'report')}"),
        el("p", _lede(history), class_="lede"),
    )
    parts = [_series(series, place) for place, series in enumerate(history.series)]
    skipped = el("ul", *(el("li", reason) for reason in history.skipped), class_="reasons")
    parts.append(
        section("skipped", "Files that are no reports", skipped if history.skipped else "")
    )
    return page("tinytx bench: trend", header, *parts)


def _lede(history: History) -> str:
    machines = len(history.series)
    where = "one machine" if machines == 1 else f"{machines} machines, each on its own"
    return (
        f"Measured on {where}. A change from one report to the next may be chance: "
        "tinytx compare says whether a difference is shown."
    )


def _series(series: Series, place: int) -> Markup:
    charts = [_chart(series, name, f"trend{place}-{name}") for name in series.budgets]
    return section(
        f"machine{place}",
        series.machine,
        el("div", *charts, class_="trends"),
        legend(
            ("dot-pass", "PASS"),
            ("dot-fail", "FAIL"),
            ("dot-invalid", "INVALID"),
            ("new-bundle", "another bundle"),
        ),
        el("details", el("summary", f"All figures: {series.count}"), _table(series)),
    )


def _chart(series: Series, name: str, slug: str) -> Markup:
    """One budget's figure by report, evenly spaced, from zero."""
    rows = [point.row(name) for point in series.points]
    known = [row for row in rows if row is not None]
    last = known[-1]
    unit = last.budget.limit.unit
    values = [None if v is None else v / UNITS[unit][1] for v in measured(series, name)]
    highest = max((value for value in values if value is not None), default=0.0)
    limit = last.budget.limit.amount
    drawn = limit <= NEAR * highest
    axis = Axis(0.0, max(limit if drawn else 0.0, highest, 1e-9) * 1.15)
    ticks = axis.ticks(2)
    parts = [_level(axis, tick) for tick in ticks]
    parts.append(_changes(series))
    if drawn:
        y = HEIGHT * (1.0 - axis.at(limit))
        parts.append(line(0, y, 1, y, "mark limit"))
    parts.append(curve(_path(values, axis), 0, HEIGHT, "trend"))
    parts += [_dot(axis, place, len(values), row) for place, row in enumerate(rows) if row]
    moved = change(values)
    told_change = "" if moved is None else f", {moved:+.1%} since the last"
    now = "not measured" if last.measured is None else str(last.measured)
    title = FIGURES[name][1]
    parts += [_level_words(axis, tick, f"{short(tick)} {unit}") for tick in ticks]
    parts += _dates(series)
    picture = drawing(slug, title, f"Last: {now}{told_change}.", HEIGHT + LINE + 4.0, *parts)
    limit_words = f"limit {last.budget.limit}".replace(" ", "\u00a0")
    caption = join(el("strong", now), f"{told_change}; {limit_words}")
    return join(figure(join(el("h3", title, " ", badge(last.verdict)), picture), caption))


def _dates(series: Series) -> list[Markup]:
    """The days of the first and of the last report, below their points."""
    count = len(series.points)
    ends = (0, count - 1) if count > 1 else (0,)
    return [
        words(_at(n, count), HEIGHT + LINE, series.points[n].date, "tick", anchor)
        for n, anchor in zip(ends, ("start", "end") if count > 1 else ("middle",), strict=True)
    ]


def _level(axis: Axis, tick: float) -> Markup:
    y = HEIGHT * (1.0 - axis.at(tick))
    return line(0, y, 1, y, "grid" if tick else "axis")


def _level_words(axis: Axis, tick: float, label: str) -> Markup:
    return words(0, HEIGHT * (1.0 - axis.at(tick)) - 4, label, "tick", "start")


def _at(place: int, count: int) -> float:
    """Points lie in the middle of equal slots, with room for the scale on the left."""
    return 0.18 + 0.82 * ((place + 0.5) / count)


def _path(values: list[float | None], axis: Axis) -> str:
    """A line through the known figures, broken where one is missing."""
    steps, pen = [], "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x, y = WIDTH * _at(place, len(values)), HEIGHT * (1.0 - axis.at(value))
        steps.append(f"{pen}{number(x)} {number(y)}")
        pen = "L"
    return "".join(steps)


def _dot(axis: Axis, place: int, count: int, row: Row) -> Markup:
    if row.measured is None:
        return Markup()
    y = HEIGHT * (1.0 - axis.at(row.measured.amount))
    size = 4.0 if count <= 40 else 2.5
    kind = f"dot-{row.verdict.lower()}"
    return el("circle", cx=percent(_at(place, count)), cy=y, r=size, class_=kind)


def _changes(series: Series) -> Markup:
    """A line before each report of another bundle than the one before it."""
    count = len(series.points)
    lines = [
        line(_at(n, count) - 0.43 / count, 0, _at(n, count) - 0.43 / count, HEIGHT, "mark bundle")
        for n in range(1, count)
        if series.points[n].bundle != series.points[n - 1].bundle
    ]
    return join(lines)


def _table(series: Series) -> Markup:
    rows = [
        (
            when(point.started_at),
            point.file,
            el("code", point.bundle[:12]),
            badge(point.verdict),
            *(_cell(point.row(name)) for name in series.budgets),
        )
        for point in reversed(series.points)
    ]
    headings = ("date", "file", "bundle", "verdict", *(FIGURES[n][1] for n in series.budgets))
    right = range(4, len(headings))
    return numbers_table("The newest report first", headings, rows, right)


def _cell(row: Row | None) -> str:
    return "–" if row is None or row.measured is None else str(row.measured)


def render_markdown(history: History) -> str:
    """One table per machine."""
    parts = ["### tinytx bench: trend"]
    for series in history.series:
        rows = []
        for name in series.budgets:
            values = measured(series, name)
            moved = change(values)
            last = [row for point in series.points if (row := point.row(name))][-1]
            rows.append(
                (
                    text(FIGURES[name][1]),
                    sparkline(values),
                    text(str(last.budget.limit)),
                    _cell(last),
                    "–" if moved is None else f"{moved:+.1%}",
                    str(last.verdict),
                )
            )
        parts.append(f"{code(series.machine)}, {series.count}")
        parts.append(grid(("budget", "trend", "limit", "last", "change", "verdict"), rows))
    return "\n\n".join(parts) + "\n"
