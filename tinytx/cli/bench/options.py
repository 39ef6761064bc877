"""The flags of ``tinytx bench`` by what they are for, and the values that they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import F, precision_option

if TYPE_CHECKING:
    from tinytx.measure.pages.outputs import Outputs
    from tinytx.measure.policy.budgets import Budget
    from tinytx.measure.run.bench import BenchSettings

MEASURING = (
    click.option(
        "--budgets",
        "budget_file",
        type=click.Path(path_type=Path),
        metavar="NAME|FILE",
        help="Limits to judge by: constitution, stretch or a file. [default: constitution]",
    ),
    click.option(
        "--scenarios",
        "scenario_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What to measure, and how often. [default: the installed scenarios]",
    ),
    click.option(
        "--device",
        metavar="NAME|FILE",
        help="Say what the figures mean for this device, such as pi-4 or pi-zero-2w.",
    ),
    click.option("--threads", type=click.IntRange(1, 1_024), help="Threads of onnxruntime."),
    precision_option,
    click.option(
        "--time-limit",
        type=click.FloatRange(1, 86_400),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="Add no more samples after this; what is open then is INVALID.",
    ),
    click.option(
        "--why", is_flag=True, help="Say where the resident memory goes, and what changes it."
    ),
)
"""How to measure. None of these goes together with --history."""

PAGES = (
    click.option(
        "--markdown",
        "markdown_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write Markdown, as for a pull request.",
    ),
    click.option(
        "--html",
        "html_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write one self-contained HTML page.",
    ),
)
"""Files for people to read."""

REPORT = click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the whole report, raw samples included, as JSON.",
)


def measuring_options(function: F) -> F:
    """Give a command all of :data:`MEASURING`."""
    return _all(MEASURING, function)


def page_options(function: F) -> F:
    """Give a command all of :data:`PAGES`."""
    return _all(PAGES, function)


def _all(options: tuple[Any, ...], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def budgets_and_settings(flags: dict[str, Any]) -> "tuple[list[Budget], BenchSettings]":
    """What :data:`MEASURING` stands for. Raises :class:`UsageError`."""
    from tinytx.measure.policy.budgets import load_budgets
    from tinytx.measure.policy.devices import load_device
    from tinytx.measure.policy.scenarios import load_scenarios
    from tinytx.measure.run.bench import BenchSettings

    budgets = load_budgets(flags["budget_file"])
    settings = BenchSettings(
        threads=flags["threads"],
        time_limit=flags["time_limit"],
        precision=flags["precision"],
        scenarios=load_scenarios(flags["scenario_file"]) if flags["scenario_file"] else None,
        device=load_device(flags["device"]) if flags["device"] is not None else None,
        why=flags["why"],
    )
    return budgets, settings


def outputs(flags: dict[str, Any]) -> "Outputs":
    """The files that the flags ask for."""
    from tinytx.measure.pages.outputs import Outputs

    return Outputs(flags.get("report_file"), flags["markdown_file"], flags["html_file"])
