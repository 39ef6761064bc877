"""``tinytx doctor``: what can this machine do, and why not?"""

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option
from tinytx.errors import PrerequisiteError


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
    refuse_without_msgspec()
    import msgspec

    from tinytx.cli.tables import ability_lines, check_table
    from tinytx.measure.doctor import Ability, diagnose, failure

    diagnosis = diagnose()
    people = console(quiet)
    people.print(check_table(diagnosis))
    console().print(", ".join(ability_lines(diagnosis)))
    if as_json:
        can = {str(ability): diagnosis.can(ability) for ability in Ability}
        print_json({**msgspec.to_builtins(diagnosis), "can": can, "healthy": diagnosis.healthy})
    if error := failure(diagnosis):
        raise error


def refuse_without_msgspec() -> None:
    """The doctor's own library is native too: it is tried in a child before it is loaded."""
    import sys

    from tinytx.measure.machine.native import try_import

    tried = try_import("msgspec", [sys.executable, "-P"])
    if not tried.ok:
        raise PrerequisiteError(f"msgspec: {tried.found}", tried.remedy)
