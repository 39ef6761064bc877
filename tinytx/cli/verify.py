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
    help="Judge this model alone. [default: every one in the bundle is tried, and the one that "
    "this machine would load is judged]",
)
@json_option
@quiet_option
def command(bundle: Path, precision: "Precision | None", as_json: bool, quiet: bool) -> None:
    """Check every file of BUNDLE and reproduce its golden outputs on this machine.

    Exit code 9 when a file is damaged, or the model that this machine would load says something
    else than where it was made. If another model of the bundle does, a note says so.

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
    for name, how in verified.differing.items():  # said even when quiet: it is a result
        console().print(
            f"note: {name}, which this machine would not load by itself, differs here: {how}\n"
            f"  -> use {verified.judged}, as it does; do not trust --precision {name} here",
            markup=False,
        )
    if as_json:
        print_json(
            {
                "bundle": str(bundle),
                "id": checked.id,
                "golden_tokens": sum(verified.tokens.values()),
                "judged": verified.judged,
                "precisions": {**verified.tokens},
                "differing": {**verified.differing},
            }
        )
