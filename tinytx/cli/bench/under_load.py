"""``tinytx bench --serve``: measure, print, write."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.bench.served import SETTINGS
from tinytx.cli.common import console, print_json
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.errors import TinytxError
    from tinytx.measure.load.bench import LoadSettings
    from tinytx.measure.load.client import Target


def bench_served(context: click.Context) -> None:
    """Measure, print, write; raises what the command ends with."""
    flags = context.params
    from tinytx.cli.bench.loads import print_loads
    from tinytx.measure.load.bench import bench_server, document, failure
    from tinytx.measure.pages.outputs import Outputs
    from tinytx.measure.policy.budgets import SERVED, load_budgets

    bundle, target = _what(flags)
    Outputs(flags["report_file"]).check(bundle)
    budgets = load_budgets(flags["budget_file"], SERVED)
    settings = _settings(flags)
    with console(flags["quiet"]).status("loading a server") as status:
        report = bench_server(
            bundle, target, budgets, settings, lambda step: status.update(step.doing)
        )
    if flags["as_json"]:
        print_json(document(report))
    print_loads(report, console(), details=not flags["quiet"])
    error = failure(report)
    if flags["report_file"] is not None:
        error = _written(flags["report_file"], document(report), error)
    if error:
        raise error


def _what(flags: dict[str, Any]) -> "tuple[Path | None, Target | None]":
    """The bundle to serve, or the server that is there. Raises :class:`UsageError`."""
    from tinytx.cli.serve.starting import token_of
    from tinytx.measure.load.client import target_of

    bundle, address = flags["bundle"], flags["serve"]
    if address and bundle is None and Path(address).is_dir():
        bundle, address = Path(address), ""  # what follows --serve was meant as the bundle
    if (bundle is None) == (not address):
        raise UsageError("--serve needs a BUNDLE, or the ADDRESS of a server, and not both")
    if not address:
        if flags["token_file"] is not None:
            raise UsageError("--token-file goes with an ADDRESS only", "leave it out")
        return bundle, None
    if flags["precision"] is not None:
        raise UsageError("--precision is for a server that the bench starts", "leave it out")
    return None, target_of(address, token_of(flags["token_file"]))


def _settings(flags: dict[str, Any]) -> "LoadSettings":
    from tinytx.measure.load.bench import LoadSettings

    chosen = {key: flags[name] for name, key in SETTINGS.items() if flags[name] is not None}
    if flags["rates"] is not None:
        try:
            chosen["rates"] = tuple(float(word) for word in flags["rates"].split(","))
        except ValueError as error:
            raise UsageError(
                f"--rates: {flags['rates']} is not a list of numbers", "such as --rates 5,20"
            ) from error
    precision = flags["precision"]
    flags_of_serve = ("--precision", precision) if precision else ()
    return LoadSettings(time_limit=flags["time_limit"], flags=flags_of_serve, **chosen)


def _written(
    path: Path, report: dict[str, Any], error: "TinytxError | None"
) -> "TinytxError | None":
    """What the command ends with once the report is on disk, or could not be written."""
    from tinytx.errors import os_errors_as
    from tinytx.workspace import write_json

    try:
        with os_errors_as(UsageError, f"write the report to {path}"):
            write_json(path, report)
    except UsageError as unwritten:
        if error is None:
            return unwritten
        return type(error)(f"{error.message}; and {unwritten.message}", unwritten.remedy)
    return error
