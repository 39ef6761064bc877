"""What ``tinytx bench``, ``report`` and ``quickstart`` print about a report."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.errors import TinytxError
    from tinytx.measure.policy.devices import Standing
    from tinytx.measure.record.report import Report


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
        if report.device:
            _print_device(report.device, people)


def ending(report: "Report", unwritten: "TinytxError | None") -> "TinytxError | None":
    """The error that a command ends with; ``unwritten`` is why a file could not be written.

    FAIL and INVALID keep their exit code whatever becomes of the files: a full disk takes no
    verdict away.
    """
    from tinytx.measure.record import report as reports

    error = reports.failure(report)
    if error is None or unwritten is None:
        return error or unwritten
    return type(error)(f"{error.message}; and {unwritten.message}", unwritten.remedy)


def _print_device(found: "Standing", people: "Console") -> None:
    """What the device is, and what this bench says about it."""
    people.print(str(found.device), markup=False)
    here = "this machine is one" if found.here else "this machine is not one"
    for line in dict.fromkeys([here, *found.says.values(), *found.device.expect]):
        people.print(f"  {line}", style="dim", markup=False)
    for line in found.warnings:
        people.print(f"  {line}", style="yellow", markup=False)
