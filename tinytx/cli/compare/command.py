"""``tinytx compare``: two reports, or two bundles measured in turns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.measure.compare.findings import Comparison

MEASURING = ("pairs", "threads", "time_limit", "scenarios", "precision")
PATH = click.Path(path_type=Path)
PRECISION = click.Choice(["float32", "int8", "int4"])
ONLY_REPORTS = ("different_machines", "different_settings")


@click.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option(
    "--pairs",
    type=click.IntRange(1, 1_000),
    default=22,
    show_default=True,
    help="Processes of each side per scenario; more of them see smaller differences.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86_400),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Begin no more pairs after this.",
)
@click.option("--threads", type=click.IntRange(1, 1_024), help="Threads of onnxruntime.")
@click.option("--scenarios", type=PATH, metavar="FILE", help="What to measure. [default: as bench]")
@click.option(
    "--precision",
    type=(PRECISION, PRECISION),
    metavar="A B",
    help="Which model of each bundle, as in: --precision float32 int8. [default: as they say]",
)
@click.option("--different-machines", is_flag=True, help="Compare reports of different machines.")
@click.option("--different-settings", is_flag=True, help="Compare reports of different settings.")
@click.option(
    "--fail-if-slower",
    "allowed",
    type=click.FloatRange(0, 1_000),
    metavar="PERCENT",
    help="Exit with 7 when B is proven slower by more than this, with 8 when that is not known.",
)
@json_option
@quiet_option
def command(
    a: Path, b: Path, allowed: float | None, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Compare B with A: two reports of `tinytx bench`, or two bundles.

    Bundles are measured on this machine in turns, A B B A A B B A, each time in fresh processes:
    this sees small differences. Reports of three processes each see only large ones. A figure is
    faster, slower, smaller or larger when its interval excludes zero; all intervals hold
    together with 99 % confidence. Exit code 0 whatever is found, unless --fail-if-slower is given.

    \b
    Example:
      tinytx compare data/bundle other/bundle
      tinytx compare data/bundle data/bundle --precision float32 int8
      tinytx compare before.json after.json --fail-if-slower 10
    """
    from tinytx.cli.compare.table import print_comparison, print_unseen
    from tinytx.measure.compare.comparing import compare_files
    from tinytx.measure.compare.findings import document, failure

    context = click.get_current_context()
    given = [
        name
        for name in (*MEASURING, *ONLY_REPORTS)
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if a.is_dir() and b.is_dir():
        _refuse(given, ONLY_REPORTS, "is for reports, and these are bundles")
        comparison = _bundles(a, b, quiet, {name: options[name] for name in MEASURING})
    elif a.is_file() and b.is_file():
        _refuse(given, MEASURING, "is for measuring, and these are reports")
        comparison = compare_files(a, b, **{name: options[name] for name in ONLY_REPORTS})
    else:
        raise _unlike(a, b)
    if as_json:
        print_json(document(comparison))
    print_comparison(comparison, console(), details=not quiet)
    if allowed is not None:
        print_unseen(comparison, console(), allowed / 100.0)
        if error := failure(comparison, allowed / 100.0):
            raise error


def _refuse(given: list[str], wrong: tuple[str, ...], why: str) -> None:
    for name in (name for name in given if name in wrong):
        raise UsageError(f"--{name.replace('_', '-')} {why}")


def _unlike(a: Path, b: Path) -> UsageError:
    for path in (a, b):
        if not path.exists():
            return UsageError(f"{path} does not exist: give two reports or two bundles")
    return UsageError("A and B must be two reports (files) or two bundles (folders)")


def _bundles(a: Path, b: Path, quiet: bool, options: dict[str, Any]) -> "Comparison":
    from tinytx.cli.compare.table import progress_on
    from tinytx.measure.compare.comparing import compare_bundles
    from tinytx.measure.compare.interleave import InterleaveSettings, interleave
    from tinytx.measure.policy.scenarios import load_scenarios

    options["scenarios"] = load_scenarios(options["scenarios"])
    with progress_on(console(quiet)) as show:
        return compare_bundles(interleave(a, b, InterleaveSettings(**options), show))
