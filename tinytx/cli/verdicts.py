"""What ``tinytx bench``, ``report`` and ``quickstart`` print about a report."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.report import Report


def print_verdicts(report: "Report", people: "Console", details: bool = True) -> None:
    """The verdict table, the reasons below it, and with ``details`` what lies behind it."""
    from tinytx.cli import tables

    if details:
        people.print(tables.latency_table(report))
    people.print(tables.verdict_table(report))
    for line in tables.reason_lines(report):
        people.print(line)
    if details:
        for line in tables.basis_lines(report):
            people.print(line, style="dim", markup=False)
        tables.print_attribution(report, people)
