"""Tables for people, which several commands print."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.policy.budgets import Quantity, Row
from tinytx.measure.record.report import Report, latency_rows

COLOURS = {"PASS": "green", "FAIL": "bold red", "INVALID": "yellow"}


def verdict_table(report: Report) -> Table:
    """One row per budget: limit, measured, upper bound, verdict."""
    table = Table(title=f"Budgets of bundle {report.bundle.id[:12]}", title_justify="left")
    table.add_column("budget")
    for heading in ("limit", "measured", "upper bound"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row in report.budgets:
        limit = f"{'<' if row.budget.strict else '<='} {row.budget.limit}"
        verdict = f"[{COLOURS[row.verdict]}]{row.verdict}[/]"
        table.add_row(row.budget.title, limit, _told(row.measured), _told(row.upper), verdict)
    return table


def reason_lines(report: Report) -> list[str]:
    """Below the table: why a budget did not pass, in rich markup."""
    return [_reason(row) for row in report.budgets if row.reason]


def _reason(row: Row) -> str:
    colour = COLOURS[row.verdict]
    return f"[{colour}]{row.verdict}[/] {row.budget.title}: {escape(row.reason)}"


def latency_table(report: Report) -> Table:
    """Every scenario's worst process: median, p95 and slowest."""
    table = Table(title="Latency (worst process of each scenario)", title_justify="left")
    table.add_column("scenario")
    for heading in ("samples", "median", "p95", "slowest"):
        table.add_column(heading, justify="right")
    for name, count, *figures in latency_rows(report):
        told = [str(Quantity.of(figure, "ms")) for figure in figures]
        table.add_row(name, f"{count:,}", *told)
    return table


def basis_lines(report: Report) -> list[str]:
    """How each figure came about, and whether the memory limit was a real one."""
    lines = [f"{row.budget.title}: {row.basis}" for row in report.budgets if row.basis]
    lines += [limit_line(report.limit)] if report.limit else []
    return [*lines, str(report.container), *report.container.notes] if report.container else lines


def limit_line(proof: LimitProof) -> str:
    """Whether the peak budget was enforced while memory was measured."""
    limit = Quantity.of(proof.limit, "MB")
    if proof.enforced:
        return f"memory limit: {limit} by {proof.mechanism}, no swap; canary {proof.canary}"
    remedy = f" -> {proof.remedy}" if proof.remedy else ""
    return f"memory limit: {limit} could not be enforced by the bench: {proof.doubt}{remedy}"


def print_attribution(report: Report, people: Console) -> None:
    """Where the resident memory goes, if asked: one row per part, with what would change it."""
    attribution = report.attribution
    if attribution is None:
        return
    if attribution.trouble:
        people.print(f"no attribution of memory: {attribution.trouble}", markup=False)
        return
    total = attribution.total
    title = f"Resident memory, {Quantity.of(total, 'MB')}, by what holds it"
    table = Table(title=title, title_justify="left")
    table.add_column("part")
    table.add_column("MB", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what would change it")
    for part in attribution.parts:
        share = f"{part.bytes / total:.1%}"
        table.add_row(part.name, f"{part.bytes / 1e6:.2f}", share, escape(part.knob))
    people.print(table)
    files = Quantity.of(total - attribution.anonymous, "MB")
    people.print(
        f"The weights are held {attribution.weight_copies:.2f} times. {files} are pages of files "
        "(libraries), which other processes can share.",
        style="dim",
    )


def _told(quantity: Quantity | None) -> str:
    return "-" if quantity is None else str(quantity)
