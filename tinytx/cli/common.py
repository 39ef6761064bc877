"""Options and output that the commands share: JSON on stdout, everything human on stderr."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)
quiet_option = click.option("--quiet", is_flag=True, help="Print no progress, only the result.")
precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "int8", "int4"]),
    help="Which of the bundle's models. [default: what suits this processor]",
)
bundle_argument = click.argument(
    "bundle", metavar="BUNDLE", type=click.Path(path_type=Path, file_okay=True)
)


def console(quiet: bool = False) -> "Console":
    """Where people read: stderr; plain without a terminal, silent with ``quiet``."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(document: object) -> None:
    """One JSON document on stdout; names of files that are no UTF-8 are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def require(purpose: str, *packages: str, extras: str = "train,export") -> None:
    """Raise :class:`PrerequisiteError` when a package that ``purpose`` needs is not installed."""
    from importlib.util import find_spec

    from tinytx.errors import PrerequisiteError

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"`tinytx {purpose}` needs {', '.join(missing)}, which is not installed",
            f"pip install 'tinytx[{extras}]'",
        )
