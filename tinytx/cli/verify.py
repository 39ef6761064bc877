"""``tinytx verify``: is this bundle whole, and does it compute here what it computed there?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import bundle_argument, console, json_option, print_json, quiet_option
from tinytx.wording import counted

if TYPE_CHECKING:
    from tinytx.bundle import Precision


@click.command(name="verify")
@bundle_argument
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8", "int4"]),
    help="Reproduce the outputs of this model alone. [default: of every one in the bundle]",
)
@json_option
@quiet_option
def command(bundle: Path, precision: "Precision | None", as_json: bool, quiet: bool) -> None:
    """Check every file of BUNDLE and reproduce its golden outputs on this machine.

    \b
    Example:
      tinytx verify data/bundle
    """
    from tinytx.runtime.golden import verify

    verified = verify(bundle, precision=precision)
    checked = verified.bundle
    told = ", ".join(f"{count} of {name}" for name, count in verified.tokens.items())
    console(quiet).print(
        f"{bundle}: {counted(len(checked.manifest.files), 'file')} as the manifest says, "
        f"golden tokens reproduced: {told}\nid {checked.id}",
        markup=False,
    )
    if as_json:
        print_json(
            {
                "bundle": str(bundle),
                "id": checked.id,
                "golden_tokens": sum(verified.tokens.values()),
                "precisions": {**verified.tokens},
            }
        )
