"""``tinytx train``: text in, checkpoint out."""

import time
from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option
from tinytx.cli.settings.options import SettingsCommand, setting_options, settings_of
from tinytx.cli.train.planning import planner_of
from tinytx.cli.train.running import document, lead_or_follow, on_board, run_asking, started_again


@click.command(name="train", cls=SettingsCommand)
@setting_options
@click.option(
    "--time",
    "time_text",
    metavar="TIME",
    help="Choose the best model for this time: 90s, 10m, 1h30m. --preset keeps its shape and gets "
    "the epochs that fit, --epochs keeps them and gets the shape; with both nothing is chosen. "
    "[default: 20 epochs in 10m, where nothing else decides the model]",
)
@click.option(
    "--device",
    metavar="NAME|FILE",
    help="The device that the model is for: what it loads decides how large it may be. "
    "[default: one like this machine]",
)
@click.option(
    "--budgets",
    type=click.Path(path_type=Path),
    metavar="NAME|FILE",
    help="Limits that the model must keep there. [default: constitution]",
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Where everything is written.",
)
@click.option("--skip-corpus", is_flag=True, help="Use the corpus that is in the output directory.")
@click.option("--skip-tokenizer", is_flag=True, help="Use the tokenizer that is there.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option("--tensorboard", is_flag=True, help="Write the curves to OUTPUT_DIR/tensorboard.")
@click.option("--overwrite", is_flag=True, help="Replace the model or the run that is there.")
@json_option
@quiet_option
def command(
    time_text: str | None,
    device: str | None,
    budgets: Path | None,
    output_dir: Path,
    skip_corpus: bool,
    skip_tokenizer: bool,
    resume: bool,
    overwrite: bool,
    tensorboard: bool,
    preset: str,
    config: Path | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Train a model: prerequisites, corpus, tokenizer, training, validation.

    Without a corpus it trains on built-in stories. The model is the best that this machine can
    train in the time, unless a preset, a file or a flag decides it; the plan is kept in
    OUTPUT_DIR/plan.toml, which --config takes. A phase that was already done with the same
    settings is skipped; Ctrl-C saves the run, and --resume continues it.

    \b
    Example:
      tinytx train --corpus-path book.txt --time 10m --device pi-4 --output-dir out
    """
    began = time.perf_counter()
    from tinytx.train.prerequisites import check_packages

    if resume and overwrite:
        raise click.UsageError("--resume keeps the run that --overwrite would replace: give one")
    settings = settings_of(preset, config, assignments, flags)
    check_packages()
    from tinytx.cli.progress import make_reporter
    from tinytx.train.job import Options
    from tinytx.train.pipeline import Pipeline
    from tinytx.workspace import Workspace

    options = Options(skip_corpus, skip_tokenizer, resume, overwrite=overwrite)
    asked = (time_text, device, budgets)
    planner = planner_of(settings, asked, preset, config, assignments, flags, options)
    space = Workspace(output_dir)
    leader = lead_or_follow(settings, space)
    if leader is None:
        return
    options = started_again(options, space)
    if planner is not None:
        planner.options = options
    with leader.telling(), make_reporter(quiet) as reporter:
        with on_board(reporter, space.tensorboard if tensorboard else None) as watched:
            pipeline = Pipeline(settings, space, options, watched, leader, began, planner)
            result = run_asking(pipeline)
        reporter.sample(result.validation.sample)
        reporter.summary((space.tokenizer, space.best_model, space.final_model, space.metrics))
        reporter.note(f"next: tinytx export --output-dir {output_dir}")
    if as_json:
        print_json(document(output_dir, result, planner))
