"""``tinytx deploy --prepare``: devices are set up for tinytx."""

from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import console, print_json

if TYPE_CHECKING:
    from tinytx.remote.devices import Named


def prepare_devices(
    devices: "list[Named]", quiet: bool, as_json: bool, flags: dict[str, Any]
) -> None:
    """One after the other; the first that cannot be prepared ends it. Raises
    :class:`DeviceError`."""
    from tinytx.remote.image import load_image
    from tinytx.remote.link import Link
    from tinytx.remote.prepare import planned, prepare

    for named in devices:
        check(named)
    if flags["dry_run"]:
        for named in devices:
            for line in [f"# {named.name}", *planned(named.device)]:
                click.echo(line)
        return
    people = console(quiet)
    image = None if flags["image"] is None else load_image(flags["image"])
    told = []
    for named in devices:

        def note(text: str, name: str = named.name) -> None:
            people.print(f"{name}: {text}", markup=False)

        done = prepare(Link(named, note=note), image)
        for line in done.lines:
            note(line.removeprefix("prepare: "))
        told.append({"device": named.name, "said": done.lines, "sent": done.sent})
    if as_json:
        print_json({"schema": 1, "prepared": told})


def check(named: "Named") -> None:
    """What the devices file says must be there. Raises :class:`UsageError`."""
    device = named.device
    if device.device_class:
        from tinytx.measure.policy.devices import device_file

        device_file(device.device_class)
    if device.budgets:
        from pathlib import Path

        from tinytx.measure.policy.budgets import budget_file

        budget_file(Path(device.budgets))
