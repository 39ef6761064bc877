"""``tinytx deploy``: a bundle onto devices, each of which proves it and decides."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option
from tinytx.cli.deploy.options import deploy_options, order

if TYPE_CHECKING:
    from tinytx.remote.devices import Named


@click.command(name="deploy")
@click.argument("words", metavar="DEVICE... BUNDLE", nargs=-1, required=True)
@deploy_options
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context, /, words: tuple[str, ...], as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Put BUNDLE onto each DEVICE of the devices file, which proves it, switches and watches.

    What a device has is not sent again. It commits the release when it was healthy for a while,
    or goes back by itself, also when this machine is gone. DEVICE may be @GROUP. With several,
    the canaries are first. Exit code 0: all have it; 7, 8: a proof said FAIL or INVALID; 9: not
    trusted; 10: anything else about a device.

    \b
    Example:
      tinytx deploy --prepare pi
      tinytx deploy pi data/bundle
      tinytx deploy @kitchen data/bundle --parallel 8 --max-failures 2
    """
    if flags["prepare"]:
        from tinytx.cli.deploy.preparing import prepare_devices

        prepare_devices(_named(words, flags), quiet, as_json, flags)
        return
    if len(words) < 2:
        raise click.UsageError("give a DEVICE and a BUNDLE", ctx=context)
    devices = _named(words[:-1], flags)
    wanted = order(Path(words[-1]), flags)
    if flags["dry_run"]:
        from tinytx.remote.plan import planned

        for line in planned(devices, wanted):
            click.echo(line)
        return
    from tinytx.cli.deploy.output import Output
    from tinytx.remote.rollout import exit_code, roll_out

    with Output(quiet, several=len(devices) > 1) as output:
        outcomes = roll_out(
            devices, wanted, output.reporter, output.ended, flags["parallel"], flags["max_failures"]
        )
    if as_json:
        from msgspec import to_builtins

        print_json({"schema": 1, "bundle": wanted.bundle.id, "devices": to_builtins(outcomes)})
    output.conclude(outcomes)
    context.exit(exit_code(outcomes))


def _named(words: tuple[str, ...], flags: dict[str, Any]) -> "list[Named]":
    from tinytx.remote.devices import chosen, devices_file, load

    path = devices_file(flags["devices_path"])
    return chosen(words, load(path), path)
