"""``tinytx plan``: which model fits this time, this machine, that device."""

import tempfile
from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option, require
from tinytx.cli.settings.options import (
    SettingsCommand,
    pinned_settings,
    preset_is_given,
    setting_options,
    settings_of,
)


@click.command(name="plan", cls=SettingsCommand)
@click.option(
    "--time",
    "time_text",
    metavar="TIME",
    help="For the whole run: 90s, 10m, 1h30m. [default: the budget for 20 epochs]",
)
@click.option(
    "--device",
    "device",
    metavar="NAME|FILE",
    help="What the model is for: pi-4, pi-5 and the like. [default: a machine like this one]",
)
@click.option(
    "--budgets",
    "budget_file",
    type=click.Path(path_type=Path),
    metavar="NAME|FILE",
    help="What the model must keep there. [default: constitution]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Write the plan, for `tinytx train --config`.",
)
@setting_options
@json_option
@quiet_option
def command(
    time_text: str | None,
    device: str | None,
    budget_file: Path | None,
    output: Path | None,
    preset: str,
    config: Path | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Which model this machine can train in this time for that device: quality against time, size
    and the cost of a token, and the best that fits, with its reasons.

    Nothing is trained. Settings that are given stay as they are, the rest is chosen. The first
    call on a machine measures it for some seconds.

    \b
    Example:
      tinytx plan --corpus-path book.txt --time 10m --device pi-4 --output plan.toml
    """
    require("plan", "torch", "sentencepiece")
    from tinytx.fit.plan import look_for
    from tinytx.fit.request import request_of
    from tinytx.fit.target import target_of

    request = request_of(time_text, device, budget_file)
    target_of(device, budget_file)  # a name that nobody knows is told before anything is read
    settings = settings_of(preset, config, assignments, flags)
    kept = preset if preset_is_given() else None
    pinned = pinned_settings(kept, config, assignments, flags, timed=time_text is not None)
    if output is not None:
        check_free(output)
    from tinytx.cli.common import console
    from tinytx.cli.plan.output import document, print_plan
    from tinytx.cli.progress import make_reporter
    from tinytx.fit.plan import to_toml
    from tinytx.fit.text import look_at
    from tinytx.train.corpus.source import obtain
    from tinytx.workspace import atomic_write

    with make_reporter(quiet) as reporter, tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        corpus = obtain(settings.corpus, place / "downloads", reporter, place)
        text = look_at(corpus.train.path, corpus.val.path)
        reporter.note("measuring this machine, once: some seconds")
        found = look_for(text, settings, pinned, request)
    print_plan(found, console())
    if output is not None:
        atomic_write(output, to_toml(found.plan).encode())
        console(quiet).print(f"next: tinytx train --config {output}", markup=False)
    if as_json:
        print_json(document(found))


def check_free(output: Path) -> None:
    """Raise :class:`OverwriteRefused` where a file is already there."""
    from tinytx.errors import OverwriteRefused

    if output.exists():
        raise OverwriteRefused(f"--output {output}: there is such a file", "give another name")
