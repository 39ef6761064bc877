"""The flags of ``tinytx deploy``, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import F
from tinytx.cli.devices import devices_option

if TYPE_CHECKING:
    from tinytx.remote.deploy import Order

OPTIONS = (
    devices_option,
    click.option(
        "--parallel",
        type=click.IntRange(1, 256),
        default=4,
        show_default=True,
        metavar="N",
        help="Devices at a time, after the canaries.",
    ),
    click.option(
        "--max-failures",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="Begin no further device after N failures; after a canary's at once.",
    ),
    click.option(
        "--statement",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The signed statement about the release, as `tinytx publish` writes it.",
    ),
    click.option(
        "--sign",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="KEY",
        help="Sign the release for each device with this SSH key (a .pub file: one of the agent).",
    ),
    click.option(
        "--channel", default="stable", show_default=True, help="With --sign: the devices' channel."
    ),
    click.option(
        "--serial",
        type=click.IntRange(1, 2**53),
        metavar="N",
        help="With --sign: the number of this release. [default: one more than each device has]",
    ),
    click.option(
        "--allow-invalid",
        metavar="REASON",
        default="",
        help="Let a release pass whose proof is INVALID (never FAIL); the device keeps the reason.",
    ),
    click.option(
        "--image",
        metavar="IMAGE",
        help='Send this image to devices of the way "compose" that have another one.',
    ),
    click.option(
        "--prepare",
        is_flag=True,
        help="Set the devices up for tinytx instead: no BUNDLE is given.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Print the commands that would be run; run nothing."
    ),
)


def deploy_options(function: F) -> F:
    """All of them."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def order(bundle: Path, flags: dict[str, Any]) -> "Order":
    """The bundle, checked whole, and what is allowed. Raises :class:`TinytxError`."""
    from tinytx.bundle import Bundle
    from tinytx.errors import UsageError
    from tinytx.remote.deploy import Order
    from tinytx.remote.image import load_image
    from tinytx.remote.statement import Signer, read_envelope

    if flags["statement"] is not None and flags["sign"] is not None:
        raise UsageError("give --statement FILE or --sign KEY, not both")
    if flags["serial"] is not None and flags["sign"] is None:
        raise UsageError("--serial goes with --sign KEY")
    found = Bundle(bundle)
    found.check_files()
    statement, key, image = flags["statement"], flags["sign"], flags["image"]
    signer = None if key is None else Signer(key, found.id, flags["channel"], flags["serial"])
    if signer is not None:
        signer.check()
    return Order(
        bundle=found,
        envelope=None if statement is None else read_envelope(statement, found.id),
        signer=signer,
        allow_invalid=flags["allow_invalid"],
        image=None if image is None else load_image(image),
    )
