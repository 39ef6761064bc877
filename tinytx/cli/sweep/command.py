"""``tinytx sweep``: a search over settings, within the budgets."""

from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option, require
from tinytx.cli.settings.options import SettingsCommand, setting_options
from tinytx.cli.sweep.asked import Asked
from tinytx.cli.sweep.options import Wanted, shared_options
from tinytx.cli.sweep.shared import search_in_database
from tinytx.errors import TrainingError


@click.command(name="sweep", cls=SettingsCommand)
@click.option(
    "--search",
    "searched",
    multiple=True,
    metavar="SECTION.KEY=VALUES",
    help="What to vary: 2,3,4 or LOW:HIGH, LOW:HIGH:STEP, log:LOW:HIGH. Repeatable.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many to train, those of earlier calls included.",
)
@click.option("--time-limit", metavar="TIME", help="Begin no trial after this: 90s, 30m, 2h.")
@click.option(
    "--budgets",
    "budget_file",
    type=click.Path(path_type=Path),
    metavar="NAME|FILE",
    help="Limits of every trial. [default: constitution]",
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default="sweep",
    show_default=True,
    help="Where the trials are kept.",
)
@click.option("--overwrite", is_flag=True, help="Start afresh where another sweep is.")
@shared_options
@setting_options
@json_option
@quiet_option
def command(
    searched: tuple[str, ...],
    trials: int,
    time_limit: str | None,
    budget_file: Path | None,
    output_dir: Path,
    overwrite: bool,
    storage: str | None,
    password_file: Path | None,
    join: bool,
    study: str,
    worker: str | None,
    grace: str,
    preset: str,
    config: Path | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Search settings for the best bits per byte that the budgets allow.

    Each trial is a training run; hopeless ones are stopped early, shapes over a budget are not
    trained at all. The same command goes on after Ctrl-C. --config FILE may hold a [search] table.
    With --storage any number of machines search together.

    \b
    Examples:
      tinytx sweep --corpus-path book.txt --epochs 3 --trials 20
        --search training.learning_rate=log:3e-3:3e-2 --search model.layers=2,3,4
      tinytx sweep --join --storage postgresql://tx@server/tx --corpus-path book.txt
    """
    require("sweep", "torch", "onnx", "optuna")
    from tinytx.cli.common import console
    from tinytx.cli.sweep.output import ConsoleWatch
    from tinytx.cli.sweep.table import print_result
    from tinytx.sweep.result import document
    from tinytx.sweep.search import run_sweep

    asked = Asked(
        searched=searched, preset=preset, config=config, assignments=assignments, flags=flags,
        budgets=budget_file, trials=trials, time_limit=time_limit,
    )  # fmt: skip
    wanted = Wanted(storage, password_file, join, study, worker, grace)
    with ConsoleWatch(console(quiet)) as watch:
        shared = search_in_database(wanted, asked, output_dir, watch)
        plan = asked.plan() if shared is None else shared.plan
        records = (
            run_sweep(plan, output_dir, watch, overwrite) if shared is None else shared.records
        )
    print_result(plan, output_dir, records, console())
    if as_json:
        print_json(document(plan, output_dir, records))
    if not any(record.bits_per_byte is not None for record in records):
        last = next((r for r in reversed(records) if r.reason), None)
        raise TrainingError("no trial succeeded" + (f"; the last: {last.reason}" if last else ""))
