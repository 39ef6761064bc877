"""``tinytx release status``, ``show``, ``watch``, ``recover`` and ``prune``."""

from pathlib import Path

import click

from tinytx.cli.common import print_json
from tinytx.cli.release.common import answer, answering, release_argument


@click.command()
@answering
def status(store: Path | None, as_json: bool) -> None:
    """What is served, what is on its way, and why.

    What a dead process left is finished or undone first, if this user may do that and nobody else
    is at work on the store.

    \b
    Example:
      tinytx release status --json
    """
    from tinytx.release import recover
    from tinytx.release import status as states
    from tinytx.release.store import look

    here = look(store)
    document = states.status(here, recover.if_possible(here, "release status"))
    if as_json:
        print_json(document)
        return
    for line in states.lines(document):
        click.echo(line)


@click.command()
@release_argument
@answering
def show(release: str, store: Path | None, as_json: bool) -> None:
    """What the proof of the release ID on this device said, and when it last went back.

    \b
    Example:
      tinytx release show 35444ccac1ad
    """
    from tinytx.release import shown
    from tinytx.release.store import look

    here = look(store)
    document = shown.shown(here, here.resolve(release))
    if as_json:
        print_json({"schema": 1, **document})
        return
    for line in shown.lines(document):
        click.echo(line)


@click.command()
@click.option("--once", is_flag=True, help="End when nothing is on trial.")
@answering
def watch(once: bool, store: Path | None, as_json: bool) -> None:
    """Watch each release that is switched to: healthy for long enough, it is committed; if not, it
    is taken back. `switch` starts one when none is at work.

    \b
    Example:
      tinytx release watch
    """
    from tinytx.cli.release import watcher
    from tinytx.release.store import open_store

    here = open_store(store, create=not once)
    watcher.become(here.root, once)


@click.command()
@click.option("--service-start", is_flag=True, help="The service is about to start.")
@answering
def recover(service_start: bool, store: Path | None, as_json: bool) -> None:
    """Finish or undo what a dead process left. Every other subcommand does that first.

    \b
    Example:
      tinytx release recover
    """
    from tinytx.release import recover as recovering
    from tinytx.release import work

    if service_start:
        words = recovering.at_service_start(store)
    else:
        with work.begun(store, "release recover") as here:
            words = here.recovered
    answer(as_json, {"recovered": words}, *(words or ["nothing was left half done"]))


@click.command()
@click.option("--keep", type=click.IntRange(min=2), help="Releases. [default: of device.toml]")
@answering
def prune(keep: int | None, store: Path | None, as_json: bool) -> None:
    """Remove old releases, and parts of files that nobody has gone on with for a week. What is
    served, the way back and what is on its way stay.

    \b
    Example:
      tinytx release prune --keep 2
    """
    from dataclasses import asdict

    from tinytx.release import prune as pruning
    from tinytx.release import work

    with work.begun(store, "release prune") as here:
        chosen = keep or here.store.policy().keep
        gone = pruning.prune(here.store, here.journal, chosen)
    told = [f"removed {one}" for one in [*gone.releases, *gone.files]] or ["nothing to remove"]
    answer(as_json, asdict(gone), *told)
