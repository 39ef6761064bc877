"""The flags of ``tinytx sweep`` for a search on several machines, and which go together."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from tinytx.cli.settings.options import SettingOption
from tinytx.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
VARIABLE = "TINYTX_STORAGE"
_option = partial(click.option, cls=SettingOption, section="several machines")
NAMES = ("storage", "password_file", "join", "study", "worker", "grace")


def shared_options(function: F) -> F:
    """``--storage``, ``--join`` and what belongs to them."""
    for option in (
        _option(
            "--grace",
            metavar="TIME",
            default="60s",
            show_default=True,
            help="Silence of a worker, after which another tries its trial again.",
        ),
        _option(
            "--worker",
            metavar="NAME",
            help="What this machine is called in the table. [default: its host name]",
        ),
        _option(
            "--study",
            metavar="NAME",
            default="sweep",
            show_default=True,
            help="What the search is called.",
        ),
        _option("--join", is_flag=True, help="Search with those who began it, by their settings."),
        _option(
            "--storage-password-file",
            "password_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Its password; else PGPASSWORD or ~/.pgpass.",
        ),
        _option(
            "--storage",
            metavar="ADDRESS",
            help=f"postgresql://USER@HOST/DATABASE, without a password. [{VARIABLE}]",
        ),
    ):
        option(function)
    return function


@dataclass(frozen=True)
class Wanted:
    """The flags, as click has them."""

    storage: str | None
    password_file: Path | None
    join: bool
    study: str
    worker: str | None
    grace: str


def refuse_without_storage() -> None:
    """Flags that mean nothing without a database. Raises :class:`UsageError`."""
    for name in NAMES[1:]:
        if given_on_line(name):
            flag = {"password_file": "--storage-password-file"}.get(name, f"--{name}")
            raise UsageError(f"{flag} belongs to a search in a database: give --storage ADDRESS")


def refuse_with_storage(join: bool) -> None:
    """Flags that somebody else has decided. Raises :class:`UsageError`."""
    if given_on_line("overwrite"):
        raise UsageError(
            "--overwrite is not for a search in a database: others may be at it",
            "--study NAME begins another one",
        )
    for name in ("trials", "grace", "preset") if join else ():
        if given_on_line(name):
            raise UsageError(
                f"--{name} and --join: whoever began the search has decided that",
                "leave it out; without --join it can be changed" if name == "trials" else "",
            )


def given_on_line(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source is not click.core.ParameterSource.DEFAULT
