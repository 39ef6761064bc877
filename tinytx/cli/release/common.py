"""What the subcommands share: the store, and answers in words and as JSON, errors included."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from tinytx.cli.common import json_option, print_json
from tinytx.errors import TinytxError
from tinytx.wording import printable

F = TypeVar("F", bound=Callable[..., Any])
SCHEMA = 1

store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store. [default: $TINYTX_STORE, else /var/lib/tinytx]",
)
release_argument = click.argument("release", metavar="ID")


def answering(function: F) -> F:
    """Adds ``--store`` and ``--json``; with the latter a failure is told on stdout too, since an
    exit code may be lost on the way: ``error``, ``remedy`` and ``exit_code``."""

    @store_option
    @json_option
    @functools.wraps(function)
    def answered(*args: Any, store: Path | None, as_json: bool, **options: Any) -> Any:
        chosen = store or click.get_current_context().obj
        try:
            return function(*args, store=chosen, as_json=as_json, **options)
        except TinytxError as error:
            if as_json and not getattr(error, "told", False):
                print_json(failure(error))
            raise

    return cast(F, answered)


def failure(error: TinytxError) -> dict[str, Any]:
    """An error as JSON."""
    return {
        "schema": SCHEMA,
        "error": error.message,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }


def answer(as_json: bool, document: dict[str, Any], *lines: str) -> None:
    """The document on stdout, or the lines for people on stderr."""
    for line in lines:
        click.echo(printable(line), err=True)
    if as_json:
        print_json({"schema": SCHEMA, **document})
