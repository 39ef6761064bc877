"""``tinytx rollback``: a device goes back to the release before."""

from pathlib import Path

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option
from tinytx.cli.devices import devices_option


@click.command(name="rollback")
@click.argument("name", metavar="DEVICE")
@click.option("--reason", metavar="TEXT", default="", help="Why; the device keeps it.")
@click.option("--dry-run", is_flag=True, help="Print the commands that would be run; run nothing.")
@devices_option
@json_option
@quiet_option
def command(
    name: str, reason: str, dry_run: bool, devices_path: Path | None, as_json: bool, quiet: bool
) -> None:
    """Take DEVICE back to the release that it served before, at once.

    \b
    Example:
      tinytx rollback pi
      tinytx rollback pi --reason "it answers in capitals"
    """
    from tinytx.errors import UsageError
    from tinytx.remote import words
    from tinytx.remote.ask import roll_back
    from tinytx.remote.devices import chosen, devices_file, load
    from tinytx.remote.link import Link

    path = devices_file(devices_path)
    named = chosen([name], load(path), path)
    if len(named) != 1:
        raise UsageError(f"{name} is {len(named)} devices; one at a time is taken back")
    if dry_run:
        click.echo(words.shown(words.rollback(named[0].device, reason)))
        return
    people = console(quiet)
    link = Link(named[0], note=lambda text: people.print(text, markup=False))
    before, after = roll_back(link, reason)
    served, serves = before.current, after.current
    if as_json:
        print_json({"schema": 1, "device": named[0].name, "from": served, "to": serves})
    if serves:
        people.print(f"{named[0].name} serves {serves[:12]} again", markup=False)
    else:
        people.print(f"{named[0].name} serves nothing: there was no release before", markup=False)
