"""``tinytx release pull``: for devices that nobody can reach, but that can reach a web server."""

from pathlib import Path

import click

from tinytx.cli.release.common import answer, answering
from tinytx.wording import counted

WORDS = {
    "current": "is what runs here",
    "on trial": "waits: a release is being watched",
    "tried before": "was tried here before and stays out; --again tries it once more",
    "switched": "is switched to and being watched",
}


@click.command()
@click.argument("address")
@click.option(
    "--random-delay",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="Wait up to so long first, so that many devices do not ask at once.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86_400),
    default=1800.0,
    show_default=True,
    metavar="SECONDS",
    help="For all that comes from the network; a later pull goes on.",
)
@click.option("--again", is_flag=True, help="Try a release that was tried and taken back here.")
@answering
def pull(
    address: str,
    random_delay: float,
    time_limit: float,
    again: bool,
    store: Path | None,
    as_json: bool,
) -> None:
    """Ask the folder at ADDRESS, which `tinytx publish` wrote, for the release of this device's
    channel; if it is another one: fetch what is missing, install, prove and switch.

    ADDRESS begins with https://, http:// or file:///. Nothing new is one small question and exit
    code 0. Exit code 9 when the release is not for this device or not trusted, 10 when the server
    cannot be reached, 7 or 8 when the proof did not succeed.

    \b
    Example:
      tinytx release pull https://models.example.com/tiny --random-delay 600
    """
    from dataclasses import asdict
    from random import uniform
    from time import sleep

    from tinytx.release.address import base

    where = base(address)
    sleep(uniform(0.0, random_delay))  # before anything large is loaded
    from tinytx.release import pull as pulling

    done = pulling.pull(store, where, time_limit=time_limit, again=again)
    asked = counted(done.requests, "request")
    answer(
        as_json,
        asdict(done),
        f"{done.release} (serial {done.serial}) {WORDS[done.ending]}",
        f"{asked}, {done.received:,} bytes, {counted(done.files, 'file')}",
        *done.notes,
    )
