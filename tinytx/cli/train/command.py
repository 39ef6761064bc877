"""``tinytx train``: text in, checkpoint out."""

from pathlib import Path
from typing import Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option
from tinytx.cli.settings.options import SettingsCommand, setting_options, settings_of
from tinytx.cli.train.running import lead_or_follow, on_board, run_asking, started_again


@click.command(name="train", cls=SettingsCommand)
@setting_options
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

    Without a corpus it trains on built-in stories. A phase that was already done with the same
    settings is skipped; Ctrl-C saves the run, and --resume continues it.

    \b
    Example:
      tinytx train --corpus-path book.txt --epochs 5 --output-dir out
    """
    from tinytx.train.prerequisites import check_packages

    if resume and overwrite:
        raise click.UsageError("--resume keeps the run that --overwrite would replace: give one")
    settings = settings_of(preset, config, assignments, flags)
    check_packages()
    from tinytx.cli.progress import make_reporter
    from tinytx.train.job import Options
    from tinytx.train.pipeline import Pipeline
    from tinytx.workspace import Workspace

    space = Workspace(output_dir)
    leader = lead_or_follow(settings, space)
    if leader is None:
        return
    options = Options(skip_corpus, skip_tokenizer, resume, overwrite=overwrite)
    options = started_again(options, space)
    with leader.telling(), make_reporter(quiet) as reporter:
        with on_board(reporter, space.tensorboard if tensorboard else None) as watched:
            result = run_asking(Pipeline(settings, space, options, watched, leader))
        score = result.validation.score
        reporter.sample(result.validation.sample)
        reporter.summary((space.tokenizer, space.best_model, space.final_model, space.metrics))
        reporter.note(f"next: tinytx export --output-dir {output_dir}")
    if as_json:
        import msgspec

        print_json(
            {
                "output_dir": str(output_dir),
                "bits_per_byte": score.bits_per_byte,
                "unigram_nats_per_token": result.validation.unigram_nats_per_token,
                "nats_per_token": score.nats_per_token,
                "sample": result.validation.sample,
                "skipped": result.skipped,
                "metrics": msgspec.to_builtins(result.metrics),
            }
        )
