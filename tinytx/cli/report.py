"""``tinytx report``: a stored report as a table and as pages, without measuring."""

from pathlib import Path
from typing import Any

import click

from tinytx.cli.bench.options import outputs, page_options
from tinytx.cli.common import console, json_option, print_json, quiet_option
from tinytx.cli.verdicts import print_verdicts


@click.command(name="report")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@page_options
@json_option
@quiet_option
def command(file: Path, as_json: bool, quiet: bool, **flags: Any) -> None:
    """Show the report in FILE again, which `tinytx bench --report` wrote.

    Nothing is measured and nothing is judged anew: exit code 0 says that FILE could be read.

    \b
    Example:
      tinytx report report.json --html report.html --markdown report.md
    """
    from tinytx.measure.record import report as reports
    from tinytx.measure.record.reading import read_report

    report = read_report(file)
    files = outputs(flags)
    files.check(source=file)
    if as_json:
        print_json(reports.document(report))
    print_verdicts(report, console(), details=not quiet)
    files.write(report)
