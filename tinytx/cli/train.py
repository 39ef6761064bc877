"""``tinytx train``: text in, checkpoint out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import json_option, print_json, quiet_option
from tinytx.cli.settings_options import setting_options, settings_of

if TYPE_CHECKING:
    from tinytx.train.metrics import Metrics
    from tinytx.train.pipeline import Pipeline, TrainingResult


@click.command(name="train")
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
@click.option("--overwrite", is_flag=True, help="Replace the model or the run that is there.")
@json_option
@quiet_option
def command(
    output_dir: Path,
    skip_corpus: bool,
    skip_tokenizer: bool,
    resume: bool,
    overwrite: bool,
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
    settings = settings_of(config, assignments, flags)
    check_packages()
    from tinytx.cli.progress import make_reporter
    from tinytx.train.job import Options
    from tinytx.train.pipeline import Pipeline
    from tinytx.workspace import Workspace

    options = Options(skip_corpus, skip_tokenizer, resume, overwrite=overwrite)
    with make_reporter(quiet) as reporter:
        result = run_asking(Pipeline(settings, Workspace(output_dir), options, reporter))
        space, score = result.workspace, result.validation.score
        reporter.sample(result.validation.sample)
        reporter.note(f"wrote {space.best_model}, {space.final_model}, {space.metrics}")
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


def run_asking(pipeline: "Pipeline") -> "TrainingResult":
    """Run; where something would be replaced, ask on a terminal and refuse elsewhere."""
    from dataclasses import replace

    from tinytx.errors import Interrupted, OverwriteRefused
    from tinytx.train.guard import Guard

    try:
        return pipeline.run(judge)
    except OverwriteRefused as refusal:
        if not sys.stdin.isatty():
            raise
        if not click.confirm(f"{refusal.message}. Replace it?", err=True):
            raise Interrupted("nothing was replaced") from None
    pipeline.options = replace(pipeline.options, overwrite=True)
    pipeline.guard = Guard(pipeline.workspace, pipeline.options)
    return pipeline.run(judge)


def judge(metrics: "Metrics") -> list[dict[str, Any]]:
    """The training budget's verdict, for the metrics file."""
    from tinytx.export.record import training_record
    from tinytx.measure import budgets, machine, report, training

    figure = training.training_figure(training_record(metrics), machine.observe())
    return [
        report.row_document(budgets.judge(budget, figure))
        for budget in budgets.load_budgets()
        if budget.name == "training_20_epochs"
    ]
