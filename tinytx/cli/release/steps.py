"""``tinytx release install``, ``prove``, ``switch``, ``commit`` and ``rollback``."""

from pathlib import Path

import click

from tinytx.cli.release.common import answer, answering, release_argument

FILE = click.Path(path_type=Path)


@click.command()
@release_argument
@click.option("--statement", "text", type=FILE, help="What was signed about it.")
@click.option("--signature", type=FILE, help="Its armored signature.")
@click.option("--allow-older", is_flag=True, help="Also one with an older serial number.")
@answering
def install(
    release: str,
    text: Path | None,
    signature: Path | None,
    allow_older: bool,
    store: Path | None,
    as_json: bool,
) -> None:
    """Make a release of what was offered and received; check every hash, signature and policy.

    Exit code 9 when a file is missing or damaged, or the release is not trusted here.

    \b
    Example:
      tinytx release install 35444ccac1ad
    """
    from dataclasses import asdict

    from tinytx.release import install as installing
    from tinytx.release import work

    with work.begun(store, "release install") as here:
        chosen = here.store.resolve(release)
        if text is not None:
            installing.keep_statement(here.store, chosen, text, signature)
        done = installing.install(here, chosen, allow_older=allow_older)
    told = "is in force or on trial already" if done.unchanged else "is installed and verified"
    answer(
        as_json,
        {**asdict(done), "state": "verified"},
        f"{chosen} {told}",
        *filter(None, [done.trust]),
    )


@click.command()
@release_argument
@click.option(
    "--allow-invalid",
    metavar="REASON",
    default="",
    help="Accept that something could not be proven; the reason is recorded.",
)
@click.option("--whole", is_flag=True, help="Measure every scenario: minutes instead of seconds.")
@answering
def prove(release: str, allow_invalid: str, whole: bool, store: Path | None, as_json: bool) -> None:
    """Try the release ID on this device: instruction set, golden tokens, the device's own budgets.

    Exit code 7 when a budget is exceeded, 8 when something could not be proven, 9 when it says
    something else here: it cannot be switched to then.

    \b
    Example:
      tinytx release prove 35444ccac1ad
    """
    from tinytx.release import switch as steps
    from tinytx.release import work

    with work.begun(store, "release prove") as here:
        chosen = here.store.resolve(release)
        proof = steps.prove(here, chosen, allow_invalid=allow_invalid, whole=whole)
        path = here.store.proofs / f"{chosen}.json"
    told = {name: value for name, value in proof.document().items() if name != "report"}
    words = [f"{chosen}: {proof.verdict} in {proof.seconds:.1f} s", *proof.unproven]
    answer(
        as_json, {"release": chosen, "state": "proved", "proof": told, "path": str(path)}, *words
    )


@click.command()
@release_argument
@answering
def switch(release: str, store: Path | None, as_json: bool) -> None:
    """Let the service take the release ID. From then on this device commits it or takes it back,
    whether or not anybody is connected.

    \b
    Example:
      tinytx release switch 35444ccac1ad
    """
    from tinytx.release import switch as steps
    from tinytx.release import watching, work

    with work.begun(store, "release switch") as here:
        chosen = here.store.resolve(release)
        switched = steps.switch(here, chosen)
        watching.start_if_needed(here.store)
    told = "is switched to and being watched" if switched else "is the current one already"
    document = {"release": chosen, "state": "switched", "unchanged": not switched}
    answer(as_json, document, f"{chosen} {told}")


@click.command()
@release_argument
@click.option("--force", metavar="REASON", default="", help="Before its watch has ended.")
@answering
def commit(release: str, force: str, store: Path | None, as_json: bool) -> None:
    """Put the release ID, which is on trial, in force by hand.

    \b
    Example:
      tinytx release commit 35444ccac1ad --force "no service runs here yet"
    """
    from tinytx.release import switch as steps
    from tinytx.release import work

    with work.begun(store, "release commit") as here:
        chosen = here.store.resolve(release)
        steps.commit(here, chosen, force)
    answer(as_json, {"release": chosen, "state": "committed"}, f"{chosen} is committed")


@click.command()
@click.option("--reason", default="", help="Why; it is kept.")
@answering
def rollback(reason: str, store: Path | None, as_json: bool) -> None:
    """Take back the release on trial; if there is none, the one in force.

    \b
    Example:
      tinytx release rollback --reason "it talks nonsense"
    """
    from tinytx.release import switch as steps
    from tinytx.release import work

    with work.begun(store, "release rollback") as here:
        gone, now = steps.roll_back(here, reason)
    document = {"release": gone, "state": "rolled-back", "current": now or None}
    answer(as_json, document, f"{gone} is rolled back; current: {now or 'nothing'}")
