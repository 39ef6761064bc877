"""``tinytx devices``: what each device says about itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option

if TYPE_CHECKING:
    from tinytx.remote.ask import Standing

devices_option = click.option(
    "--devices",
    "devices_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The devices. [default: $TINYTX_DEVICES, ./devices.toml, ~/.config/tinytx/devices.toml]",
)


@click.command(name="devices")
@click.argument("names", metavar="[DEVICE]...", nargs=-1)
@devices_option
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    /,
    names: tuple[str, ...],
    devices_path: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """What each DEVICE of the devices file says: release, state, version, clock, trust.

    DEVICE may be @GROUP. Exit code 10 when one of them gives no answer.

    \b
    Example:
      tinytx devices
      tinytx devices pi @kitchen --json
    """
    from tinytx.errors import DeviceError
    from tinytx.remote.ask import standings
    from tinytx.remote.devices import chosen, devices_file, load

    path = devices_file(devices_path)
    known = load(path)
    found = standings(chosen(names or tuple(known), known, path))
    if as_json:
        print_json({"schema": 1, "devices": [_plain(standing) for standing in found]})
    if not as_json or not quiet:
        _print(found, quiet=False)
    if any(standing.status is None for standing in found):
        context.exit(DeviceError.exit_code)


def _plain(standing: "Standing") -> dict[str, Any]:
    from msgspec import to_builtins

    plain: dict[str, Any] = to_builtins(standing)
    return plain


def _print(found: "list[Standing]", quiet: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    people = console(quiet)
    table = Table(title="Devices", title_justify="left")
    for heading in ("device", "serves", "state", "tinytx", "clock", "trust"):
        table.add_column(heading)
    for standing in found:
        table.add_row(standing.name, *(escape(cell) for cell in standing.cells()))
    people.print(table)
    for standing in found:
        for line in standing.lines():
            people.print(f"{standing.name}: {line}", markup=False)
