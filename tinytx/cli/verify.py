"""``tinytx verify``: is this bundle whole, and does it compute here what it computed there?"""

from pathlib import Path

import click

from tinytx.cli.common import bundle_argument, console, json_option, print_json, quiet_option


@click.command(name="verify")
@bundle_argument
@json_option
@quiet_option
def command(bundle: Path, as_json: bool, quiet: bool) -> None:
    """Check every file of BUNDLE and reproduce its golden outputs on this machine.

    \b
    Example:
      tinytx verify data/bundle
    """
    from tinytx.runtime.golden import verify

    checked, tokens = verify(bundle)
    console(quiet).print(
        f"{bundle}: {len(checked.manifest.files)} files as the manifest says, "
        f"{tokens} golden tokens reproduced\nid {checked.id}",
        markup=False,
    )
    if as_json:
        print_json({"bundle": str(bundle), "id": checked.id, "golden_tokens": tokens})
