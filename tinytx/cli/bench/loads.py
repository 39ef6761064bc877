"""Tables of a server under load, for people."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.load.bench import LoadReport
    from tinytx.measure.load.judging import Cell
    from tinytx.measure.policy.budgets import Budget


def print_loads(report: "LoadReport", people: "Console", *, details: bool) -> None:
    """What each load met, the verdicts with their reasons, and what was not proven."""
    from rich.markup import escape
    from rich.table import Table

    from tinytx.cli.tables import COLOURS

    if details:
        people.print(_loads(report))
    server = report.server
    title = f"Budgets of {server.release[:12]} ({server.precision}), served"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("budget")
    for heading in ("limit", "measured", "proven"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row in report.budgets:
        worst = row.lower if row.budget.least else row.upper
        told = ["-" if one is None else str(one) for one in (row.measured, worst)]
        verdict = f"[{COLOURS[row.verdict]}]{row.verdict}[/]"
        table.add_row(row.budget.title, _limit(row.budget), *told, verdict)
    people.print(table)
    for row in report.budgets:
        if row.reason:
            colour = COLOURS[row.verdict]
            people.print(f"[{colour}]{row.verdict}[/] {row.budget.title}: {escape(row.reason)}")
    if details:
        bases = [f"{row.budget.title}: {row.basis}" for row in report.budgets if row.basis]
        for line in [*bases, *(f"not shown: {one}" for one in report.unproven)]:
            people.print(line, style="dim", markup=False)


def _limit(budget: "Budget") -> str:
    sign = ">=" if budget.least else "<" if budget.strict else "<="
    return f"{sign} {budget.limit}"


def _loads(report: "LoadReport") -> "object":
    from rich.table import Table

    title = (
        f"Under load: {report.settings['tokens']} tokens a request; rate in requests/s; times in "
        "ms (median / p95); late: the client (p95)"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("rate", justify="right")
    for heading in ("process", "answers", "errors", "first", "between", "tokens/s", "late"):
        table.add_column(heading, justify="right")
    for cell in report.loads:
        table.add_row(*_cells(cell))
    return table


def _cells(cell: "Cell") -> list[str]:
    """One load: medians and p95 in ms; how late the client was, p95."""
    from tinytx.measure import stats

    def both(samples: list[int]) -> str:
        if not samples:
            return "-"
        return " / ".join(f"{stats.quantile_of(samples, q) / 1e6:,.3g}" for q in (0.5, 0.95))

    return [
        f"{cell.rate:g}",
        str(cell.process),
        f"{len(cell.first):,}",
        f"{sum(cell.errors.values()):,}",
        both(cell.first),
        both([gap for answer in cell.between for gap in answer]),
        f"{cell.tokens_per_second:,.0f}",
        f"{stats.quantile_of(cell.late) / 1e6:,.3g}",
    ]
