"""``tinytx checklist``: is everything done that has to be done before a release?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import bundle_argument, console, json_option, print_json, quiet_option
from tinytx.cli.devices import devices_option

if TYPE_CHECKING:
    from tinytx.checklist.checking import Given
    from tinytx.checklist.items import Item

FILE = click.Path(path_type=Path)
COLOURS = {"done": "green", "not done": "bold red"}


@click.command(name="checklist")
@bundle_argument
@click.option("--device", metavar="NAME", help="Ask this device of the devices file.")
@devices_option
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="What `tinytx bench --device CLASS --report FILE` wrote on the target.",
)
@click.option(
    "--statement", type=FILE, metavar="FILE", help="The signed statement, of `tinytx publish`."
)
@click.option(
    "--signers", type=FILE, metavar="FILE", help="Who may sign, as a device's allowed_signers."
)
@click.option(
    "--budgets",
    type=FILE,
    metavar="NAME|FILE",
    help="Limits to judge the size by: constitution, stretch or a file. [default: constitution]",
)
@click.option(
    "--markdown", type=FILE, metavar="FILE", help="Write Markdown, as for a release's page."
)
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context, /, bundle: Path, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Go through the fourteen items before BUNDLE is released: each is a check that can fail.

    Every item is done, not done, or cannot be told from here; the command that settles it is told
    with it. Exit code 0: all are done; 7: one is not; 8: some cannot be told.

    \b
    Example:
      tinytx checklist out/bundle
      tinytx checklist out/bundle --device pi --markdown release.md
    """
    from tinytx.bundle import Bundle
    from tinytx.checklist.checking import check
    from tinytx.checklist.items import EXIT_CODES, SCHEMA, overall

    opened = Bundle(bundle)
    given = _given(opened.id, flags)
    items = check(opened, given)
    verdict = overall(items)
    device = given.device.name if given.device else None
    if flags["markdown"] is not None:
        from tinytx.checklist.page import markdown
        from tinytx.errors import UsageError, os_errors_as
        from tinytx.workspace import atomic_write

        with os_errors_as(UsageError, f"write {flags['markdown']}"):
            atomic_write(flags["markdown"], markdown(opened.id, device or "", items).encode())
    if as_json:
        from msgspec import to_builtins

        print_json({"schema": SCHEMA, "bundle": opened.id, "device": device,
                    "verdict": str(verdict), "items": to_builtins(items)})  # fmt: skip
    _print(items, opened.id, quiet)
    context.exit(EXIT_CODES[verdict])


def _given(bundle_id: str, flags: dict[str, Any]) -> "Given":
    from tinytx.checklist import evidence
    from tinytx.checklist.checking import Given
    from tinytx.errors import UsageError
    from tinytx.remote.devices import chosen, devices_file, load

    if flags["signers"] is not None and flags["statement"] is None:
        raise UsageError("--signers goes with --statement FILE")
    device = None
    if flags["device"] is not None:
        path = devices_file(flags["devices_path"])
        named = chosen([flags["device"]], load(path), path)
        if len(named) != 1:
            raise UsageError(f"{flags['device']} is {len(named)} devices; one at a time is asked")
        device = evidence.ask(named[0], bundle_id)
    given = {name: flags[name] for name in ("budgets", "report", "statement", "signers")}
    return Given(device=device, **given)


def _print(items: "list[Item]", bundle_id: str, quiet: bool) -> None:
    people = console()
    for one in items:
        if quiet and one.state == "done":
            continue
        colour = COLOURS.get(one.state, "yellow")
        people.print(f"[{colour}]{one.state:24}[/] {one.number:2}. {one.title}")
        people.print(f"{'':28} {one.told}", markup=False)
        if one.state != "done":
            people.print(f"{'':28} -> {one.command}", markup=False)
    done = sum(one.state == "done" for one in items)
    people.print(f"{done} of {len(items)} done, bundle {bundle_id[:12]}", markup=False)
