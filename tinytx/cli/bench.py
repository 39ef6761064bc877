"""``tinytx bench``: measure a bundle and judge it against budgets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import bundle_argument, console, json_option, print_json, quiet_option

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.bench import BenchSettings
    from tinytx.measure.budgets import Budget
    from tinytx.measure.report import Report


@click.command()
@bundle_argument
@click.option(
    "--budgets",
    "budget_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Limits to judge by. [default: the constitution]",
)
@click.option("--threads", type=click.IntRange(1, 1_024), help="Threads of onnxruntime.")
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86_400),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Add no more samples after this; what is open then is INVALID.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the whole report, raw samples included, as JSON.",
)
@json_option
@quiet_option
def command(
    bundle: Path,
    budget_file: Path | None,
    threads: int | None,
    time_limit: float,
    report_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure BUNDLE and judge it: PASS, FAIL or INVALID for each budget.

    PASS means that the one-sided 99 % upper bound of the figure is within the limit. Exit code
    0: every budget passes; 7: one fails; 8: none fails, but one is not proven.

    \b
    Example:
      tinytx bench data/bundle
      tinytx bench data/bundle --budgets mine.toml --report report.json
    """
    from tinytx.measure import report as reports
    from tinytx.measure.bench import BenchSettings
    from tinytx.measure.budgets import load_budgets

    budgets = load_budgets(budget_file)
    if report_file is not None:
        reports.check_writable(report_file, bundle)
    people = console()
    settings = BenchSettings(threads=threads, time_limit=time_limit)
    report = bench_with_progress(bundle, budgets, settings, console(quiet))
    if report_file is not None:
        reports.write(report_file, report)
    if as_json:
        print_json(reports.document(report))
    print_verdicts(report, people, details=not quiet)
    if error := reports.failure(report):
        raise error


def bench_with_progress(
    bundle: Path, budgets: "list[Budget]", settings: "BenchSettings", people: "Console"
) -> "Report":
    """The bench, with a progress bar where ``people`` is a terminal."""
    from rich.progress import Progress as Bar

    from tinytx.measure.bench import Progress, run_bench

    if not people.is_terminal:
        return run_bench(bundle, budgets, settings)
    with Bar(console=people, transient=True) as bar:
        task = bar.add_task("bench", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, total=progress.total, completed=progress.done, description=progress.doing
            )

        return run_bench(bundle, budgets, settings, show)


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
