"""What the commands that train share: the question before replacing, the board, the budget."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli import torchrun

if TYPE_CHECKING:
    from tinytx.config import Settings
    from tinytx.fit.planner import PlanKeeper
    from tinytx.train.follow import Leader
    from tinytx.train.job import Options
    from tinytx.train.metrics import Metrics
    from tinytx.train.pipeline import Pipeline, TrainingResult
    from tinytx.train.progress import Reporter
    from tinytx.workspace import Workspace


@contextmanager
def on_board(reporter: "Reporter", folder: Path | None) -> "Iterator[Reporter]":
    """The reporter, with TensorBoard events as well where a folder for them is given."""
    if folder is None:
        yield reporter
        return
    from tinytx.train.board import BoardReporter

    board = BoardReporter(reporter, folder)
    try:
        yield board
    finally:
        board.close()


def lead_or_follow(settings: "Settings", space: "Workspace") -> "Leader | None":
    """The first process's part in what torchrun has started, or of a process by itself; in any
    other one it trains along to the end and returns None."""
    from tinytx.train.distributed import join
    from tinytx.train.follow import Leader, follow
    from tinytx.train.launch import check_batch, read_launch

    check_batch(settings.training.batch_size, read_launch().world)
    group = join(settings.training.device)
    if group.first:
        return Leader(group)
    torchrun.stand_aside()
    follow(group, space)
    return None


def started_again(options: "Options", space: "Workspace") -> "Options":
    """The options, or those of a run that torchrun has started again: it goes on by itself."""
    from tinytx.train.follow import elastic
    from tinytx.train.launch import read_launch

    return elastic(options, read_launch(), space)


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
            torchrun.give_up(Interrupted.exit_code)
            raise Interrupted("nothing was replaced") from None
    pipeline.options = replace(pipeline.options, overwrite=True)
    pipeline.guard = Guard(pipeline.workspace, pipeline.options)
    return pipeline.run(judge)


def document(
    output_dir: Path, result: "TrainingResult", planner: "PlanKeeper | None"
) -> dict[str, Any]:
    """What ``--json`` prints of a run."""
    import msgspec

    found = result.validation
    plan = planner.plan if planner else None
    return {
        "output_dir": str(output_dir),
        "bits_per_byte": found.score.bits_per_byte,
        "unigram_nats_per_token": found.unigram_nats_per_token,
        "nats_per_token": found.score.nats_per_token,
        "sample": found.sample,
        "skipped": result.skipped,
        "plan": msgspec.to_builtins(plan) if plan else None,
        "metrics": msgspec.to_builtins(result.metrics),
    }


def judge(metrics: "Metrics") -> list[dict[str, Any]]:
    """The training budget's verdict, for the metrics file."""
    from tinytx.export.record import training_record
    from tinytx.measure.machine import facts
    from tinytx.measure.policy import budgets
    from tinytx.measure.record import report
    from tinytx.measure.verdict import training

    figure = training.training_figure(training_record(metrics), facts.observe())
    return [
        report.row_document(budgets.judge(budget, figure))
        for budget in budgets.load_budgets()
        if budget.name == "training_20_epochs"
    ]
