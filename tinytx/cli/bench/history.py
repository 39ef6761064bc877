"""What ``tinytx bench --history`` prints and writes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tinytx.cli.bench.options import outputs
from tinytx.cli.common import console, print_json
from tinytx.errors import UsageError
from tinytx.wording import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tinytx.measure.compare.history import History, Series

GOES_WITH_HISTORY = {"history_folder", "markdown_file", "html_file", "as_json", "quiet"}
NEWEST = 24
"""Reports that a trend in the terminal shows at most."""


def refuse_measuring(context: click.Context) -> None:
    """Raise :class:`UsageError` for what says how to measure: with --history nothing is."""
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        if given and name not in GOES_WITH_HISTORY:
            option = parameter.opts[0] if parameter.opts[0].startswith("-") else "BUNDLE"
            raise UsageError(
                f"{option} does not go with --history, which measures nothing",
                "leave one of the two out",
            )


def show_history(context: click.Context, folder: Path, flags: dict[str, Any]) -> None:
    """Read the reports in ``folder``, then print the trend and write the pages of it."""
    refuse_measuring(context)
    from tinytx.measure.compare import history as histories
    from tinytx.measure.pages import trend
    from tinytx.measure.pages.outputs import write_text

    history = histories.read_history(folder)
    files = outputs(flags)
    files.check()
    if context.params["as_json"]:
        print_json(histories.document(history))
    print_history(history, console(), skipped=not context.params["quiet"])
    if files.html is not None:
        write_text(files.html, trend.render(history))
    if files.markdown is not None:
        write_text(files.markdown, trend.render_markdown(history))


def print_history(history: "History", people: "Console", skipped: bool) -> None:
    """One table per machine, then a warning for each file that was skipped."""
    for series in history.series:
        people.print(_table(series))
    for reason in history.skipped if skipped else []:
        people.print(f"skipped: {printable(reason)}", style="yellow", markup=False)


def _table(series: "Series") -> "Table":
    """One row per budget: the trend, the last figure, its change, and every verdict."""
    from rich.markup import escape
    from rich.table import Table

    from tinytx.cli.tables import COLOURS
    from tinytx.measure.compare.history import Series, change, measured, sparkline

    shown = Series(series.machine, series.points[-NEWEST:])
    first, last = shown.points[0], shown.points[-1]
    title = (
        f"{escape(printable(series.machine))}: {series.count}"
        f"\n{first.date} to {last.date}, last bundle {escape(printable(last.bundle[:12]))}"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("budget")
    table.add_column("trend", no_wrap=True)
    for heading in ("limit", "last", "change"):
        table.add_column(heading, justify="right")
    table.add_column("verdicts", no_wrap=True)
    for name in shown.budgets:
        rows = [row for point in shown.points if (row := point.row(name))]
        values = measured(shown, name)
        moved = change(values)
        table.add_row(
            rows[-1].budget.title,
            sparkline(values),
            str(rows[-1].budget.limit),
            "-" if rows[-1].measured is None else str(rows[-1].measured),
            "-" if moved is None else f"{moved:+.1%}",
            "".join(f"[{COLOURS[row.verdict]}]{row.verdict[0]}[/]" for row in rows),
        )
    return table
