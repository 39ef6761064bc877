"""``tinytx sweep``: a search over settings, within the budgets."""

import math
import re
from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option, require
from tinytx.cli.settings.options import SettingsCommand, given, setting_options, settings_of
from tinytx.errors import TrainingError, UsageError

UNITS = {"s": 1, "m": 60, "h": 3_600}


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

    \b
    Example:
      tinytx sweep --corpus-path book.txt --epochs 3 --trials 20
        --search training.learning_rate=log:3e-3:3e-2 --search model.layers=2,3,4
    """
    require("sweep", "torch", "onnx", "optuna")
    from tinytx.measure.policy.budgets import load_budgets
    from tinytx.sweep.plan import Plan
    from tinytx.sweep.space import load_space

    space = load_space(searched, config)
    fixed = {*given(flags), *(text.partition("=")[0].strip() for text in assignments)}
    if both := sorted(fixed & space.dimensions.keys()):
        raise UsageError(f"{both[0]} is searched and set: give one")
    plan = Plan(
        settings=settings_of(preset, config, assignments, flags, searching=True),
        space=space,
        budgets=load_budgets(budget_file),
        trials=trials,
        time_limit=math.inf if time_limit is None else seconds(time_limit),
    )
    from tinytx.cli.common import console
    from tinytx.cli.sweep.output import ConsoleWatch, print_result
    from tinytx.sweep.result import document
    from tinytx.sweep.search import run_sweep

    with ConsoleWatch(console(quiet)) as watch:
        records = run_sweep(plan, output_dir, watch, overwrite)
    print_result(plan, output_dir, records, console())
    if as_json:
        print_json(document(plan, output_dir, records))
    if not any(record.bits_per_byte is not None for record in records):
        last = next((r for r in reversed(records) if r.reason), None)
        raise TrainingError("no trial succeeded" + (f"; the last: {last.reason}" if last else ""))


def seconds(text: str) -> float:
    """``90s``, ``30m`` or ``2h`` in seconds. Raises :class:`UsageError`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"--time-limit {text!r} is no time; write 90s, 30m or 2h")
    return float(match[1]) * UNITS[match[2]]
