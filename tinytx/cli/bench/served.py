"""``tinytx bench --serve``: its flags."""

from pathlib import Path

import click
from click.core import ParameterSource

from tinytx.cli.common import F
from tinytx.errors import UsageError

GOES_WITH_SERVE = {
    *("bundle", "serve", "budget_file", "precision", "time_limit", "report_file", "as_json"),
    *("quiet", "rates", "requests", "tokens", "load_seed", "token_file"),
}
LOAD = (
    click.option(
        "--serve",
        is_flag=False,
        flag_value="",
        metavar="[ADDRESS]",
        help="Load a server and judge it: the one at ADDRESS, or fresh ones of BUNDLE.",
    ),
    click.option("--rates", metavar="N,...", help="Requests a second. [default: 5,20]"),
    click.option("--requests", type=click.IntRange(16, 10_000), help="Of a load. [default: 160]"),
    click.option("--tokens", type=click.IntRange(2, 100_000), help="Of an answer. [default: 32]"),
    click.option("--seed", "load_seed", type=int, help="Of when they come. [default: 1]"),
    click.option(
        "--token-file", type=click.Path(path_type=Path), help="What the server at ADDRESS asks for."
    ),
)
SETTINGS = {"requests": "requests", "tokens": "tokens", "load_seed": "seed"}
"""Flags, and the settings of the same."""


def serve_options(function: F) -> F:
    """Give a command all of :data:`LOAD`."""
    for option in reversed(LOAD):
        function = option(function)
    return function


def check_served(context: click.Context) -> None:
    """Raise :class:`UsageError` for flags of another way of measuring."""
    served = context.params["serve"] is not None
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        option = parameter.opts[-1]
        if given and served and name not in GOES_WITH_SERVE:
            raise UsageError(f"{option} does not go with --serve", "leave one of the two out")
        if given and not served and name in ("rates", *SETTINGS, "token_file"):
            raise UsageError(f"{option} goes with --serve only", "add --serve, or leave it out")
