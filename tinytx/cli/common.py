"""Options and output that the commands share: JSON on stdout, everything human on stderr."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tinytx.wording import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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
    """Where people read: stderr; plain without a terminal, silent with ``quiet``.

    Whatever text it is given, a file's for example, cannot steer the terminal.
    """
    from rich.console import Console

    class Safe(Console):
        def render_str(self, text: str, **options: Any) -> "Text":
            return super().render_str(printable(text, keep="\n\t"), **options)

    return Safe(stderr=True, quiet=quiet, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(document: object) -> None:
    """One JSON document on stdout; what could steer a terminal is written as \\u escapes."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(one if one.isprintable() or one == "\n" else _escape(one) for one in text)
    click.echo(text)


def _escape(character: str) -> str:
    """As it stands in a JSON string; DEL too, which Python leaves as it is."""
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def require(purpose: str, *packages: str) -> None:
    """Raise :class:`PrerequisiteError` when a package that ``purpose`` needs is not installed."""
    from importlib.util import find_spec

    from tinytx.errors import PrerequisiteError
    from tinytx.packages import how_to_install

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"`tinytx {purpose}` needs {', '.join(missing)}, which is not installed",
            how_to_install(*missing),
        )
