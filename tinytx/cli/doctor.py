"""``tinytx doctor``: what can this machine do, and why not?

It writes its table itself: the library that draws those of other commands may be what is broken.
"""

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import json_option, print_json, quiet_option

if TYPE_CHECKING:
    from tinytx.measure.doctor import Check, Diagnosis


@click.command()
@json_option
@quiet_option
def command(as_json: bool, quiet: bool) -> None:
    """Check whether this machine can run, be measured, train and export.

    Exit code 0: it can run a bundle and be measured. Exit code 1: it cannot. Training and
    exporting need more packages; without them the code is still 0.

    \b
    Example:
      tinytx doctor
      tinytx doctor --json
    """
    from dataclasses import asdict

    from tinytx.measure.doctor import Ability, diagnose, failure

    diagnosis = diagnose()
    if not quiet:
        for line in check_lines(diagnosis):
            click.echo(line, err=True)
    click.echo(ability_line(diagnosis), err=True)
    if as_json:
        can = {str(ability): diagnosis.can(ability) for ability in Ability}
        print_json({**asdict(diagnosis), "can": can, "healthy": diagnosis.healthy})
    if error := failure(diagnosis):
        raise error


def check_lines(diagnosis: "Diagnosis") -> list[str]:
    """One paragraph per check: its name, how it went, what was found, and the remedy below."""
    wide = max((len(check.name) for check in diagnosis.checks), default=0)
    lines = []
    for check in diagnosis.checks:
        word, colour = _word(check)
        head = f"{check.name:<{wide}}  "
        indent = " " * (len(head) + 9)
        found = _wrapped(check.found, indent)
        lines.append(head + click.style(f"{word:<9}", fg=colour) + found.lstrip())
        if check.remedy and not check.ok:
            lines.append(_wrapped(f"-> {check.remedy}", indent))
    return lines


def _word(check: "Check") -> tuple[str, str]:
    if check.ok:
        return "ok", "green"
    if check.ok is None:
        return "unknown", "yellow"
    return ("problem", "red") if check.prevents else ("advice", "yellow")


def _wrapped(text: str, indent: str) -> str:
    """Broken at the terminal's width; on one line where there is none."""
    if not sys.stderr.isatty():
        return indent + text
    width = max(shutil.get_terminal_size().columns, len(indent) + 20)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


def ability_line(diagnosis: "Diagnosis") -> str:
    """What this machine can and cannot do."""
    from tinytx.measure.doctor import Ability

    return ", ".join(
        click.style(f"can {ability}", fg="green")
        if diagnosis.can(ability)
        else click.style(f"cannot {ability}", fg="red")
        for ability in Ability
    )
