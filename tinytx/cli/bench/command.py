"""``tinytx bench``: measure a bundle and judge it against budgets, or show a history of it."""

from pathlib import Path
from typing import Any

import click

from tinytx.cli.bench.container import bench_contained, check_flags, container_options
from tinytx.cli.bench.options import (
    REPORT,
    budgets_and_settings,
    measuring_options,
    outputs,
    page_options,
)
from tinytx.cli.bench.progress import bench_with_progress
from tinytx.cli.bench.served import check_served, serve_options
from tinytx.cli.common import console, json_option, print_json, quiet_option
from tinytx.cli.verdicts import ending, print_verdicts
from tinytx.errors import UsageError


@click.command()
@click.argument(
    "bundle", metavar="BUNDLE", type=click.Path(path_type=Path, file_okay=True), required=False
)
@measuring_options
@container_options
@serve_options
@REPORT
@page_options
@click.option(
    "--history",
    "history_folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure nothing: show the trend over the reports stored in DIR.",
)
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    /,
    bundle: Path | None,
    history_folder: Path | None,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Measure BUNDLE and judge it: PASS, FAIL or INVALID for each budget.

    PASS means that the one-sided 99 % upper bound of the figure is within the limit. Exit code
    0: every budget passes; 7: one fails; 8: none fails, but one is not proven. A report that
    cannot be written is told, and ends with 64 where every budget passes.

    \b
    Example:
      tinytx bench data/bundle
      tinytx bench data/bundle --device pi-4 --budgets stretch
      tinytx bench data/bundle --budgets mine.toml --report reports/monday.json --html page.html
      tinytx bench data/bundle --container --device pi-zero-2w
      tinytx bench data/bundle --serve --rates 5,20
      tinytx bench --history reports
    """
    check_served(context)
    if flags["serve"] is not None:
        from tinytx.cli.bench.under_load import bench_served

        return bench_served(context)
    if history_folder is not None:
        from tinytx.cli.bench.history import show_history

        return show_history(context, history_folder, flags)
    if bundle is None:
        raise click.MissingParameter(ctx=context, param=context.command.params[0])
    from tinytx.measure.record import report as reports

    check_flags(flags)
    budgets, settings = budgets_and_settings(flags)
    files = outputs(flags)
    files.check(bundle)
    if flags["in_container"]:
        report = bench_contained(bundle, budgets, settings, flags, console(quiet))
    else:
        report = bench_with_progress(bundle, budgets, settings, console(quiet))
    if as_json:
        print_json(reports.document(report))
    print_verdicts(report, console(), details=not quiet)
    unwritten: UsageError | None = None
    try:
        files.write(report)
    except UsageError as error:
        unwritten = error
    if end := ending(report, unwritten):
        raise end
