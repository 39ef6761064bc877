"""``tinytx publish``: a bundle into a folder that any static web server can offer to devices."""

from pathlib import Path

import click

from tinytx.cli.common import bundle_argument, console, json_option, print_json, quiet_option
from tinytx.wording import counted


@click.command(name="publish")
@bundle_argument
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--channel", default="stable", show_default=True, help="Devices follow one each.")
@click.option("--group", default="", help="Only devices of this group take it. [default: all]")
@click.option(
    "--serial",
    type=click.IntRange(min=1),
    help="The number of this release. [default: one more than the highest in DIR]",
)
@click.option(
    "--expires-days",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    help="No device installs it later. With less than half of it left, a second run renews it.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SSH key that signs; a .pub file: the one in your agent.",
)
@click.option(
    "--unsigned", is_flag=True, help="No key: only devices without allowed_signers take it."
)
@json_option
@quiet_option
def command(
    bundle: Path,
    folder: Path,
    channel: str,
    group: str,
    serial: int | None,
    expires_days: int,
    key: Path | None,
    unsigned: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put BUNDLE into DIR, signed, where `tinytx release pull` of a device finds it.

    DIR holds files only. Let a web server offer it, or copy it to one: the file of the channel,
    DIR/CHANNEL.json, last.

    \b
    Example:
      ssh-keygen -t ed25519 -f release-key
      tinytx publish data/bundle site --key release-key
    """
    from tinytx.errors import UsageError
    from tinytx.release.publish import Wish, publish
    from tinytx.release.statement import shown

    if (key is None) != unsigned:
        raise UsageError(
            "say either which key signs the release (--key FILE) or that none does (--unsigned)",
            "devices with an allowed_signers file take signed releases only",
        )
    done = publish(Wish(bundle, folder, key, channel, group, serial, expires_days))
    said = done.statement
    by = f"signed by {done.signed_by}" if done.signed_by else "NOT SIGNED"
    console(quiet).print(
        f"{folder}/{channel}.json: {'' if done.changed else 'as before, '}serial {said.serial}, "
        f"bundle {said.bundle[:12]}, {by}, expires {shown(said.expires_at)}\n"
        f"{counted(done.files, 'file')} written ({done.bytes:,} bytes)",
        markup=False,
    )
    if as_json:
        print_json(
            {
                "schema": 1,
                "folder": str(folder),
                "bundle": said.bundle,
                "serial": said.serial,
                "channel": said.channel,
                "group": said.group,
                "made_at": shown(said.made_at),
                "expires_at": shown(said.expires_at),
                "signed_by": done.signed_by or None,
                "changed": done.changed,
                "files": done.files,
                "bytes": done.bytes,
            }
        )
