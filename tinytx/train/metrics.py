"""``training_metrics.json``: what a run was told, what it ran on, and how it went."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tinytx.errors import TrainingError, os_errors_as
from tinytx.workspace import write_json

SCHEMA = 1


class EpochRecord(msgspec.Struct, kw_only=True, frozen=True):
    """One epoch."""

    epoch: int
    train_loss: float
    """Mean nats per token over the epoch's steps."""
    val_loss: float
    """Nats per token of the validation text."""
    val_bits_per_byte: float
    learning_rate: float
    """At the epoch's last step."""
    seconds: float
    """Wall clock, validation and checkpoints included."""
    tokens_per_second: float
    """Training alone."""
    others_busy: float | None = None
    """Cores that other programs kept busy meanwhile, on average, as far as the kernel tells."""
    part: float = 1.0
    """The share of the epoch's steps that were trained: below 1 in the last epoch of a run whose
    schedule was shortened to end in time."""
    averaged: bool = False
    """Whether the validation is that of the mean of the last weights, which was better than that of
    the last ones: in a run's last epoch (``training.average``)."""


class Metrics(msgspec.Struct, kw_only=True):
    """The contents of ``training_metrics.json``."""

    run_id: str
    started_at: str
    config: dict[str, Any]
    machine: dict[str, Any]
    corpus: dict[str, Any]
    tokenizer: dict[str, Any]
    parameters: int
    setup_seconds: float = 0.0
    """Before the first step: corpus, tokenizer, tokens, model."""
    interruptions: int = 0
    """How often the run was stopped and resumed."""
    steps: int = 0
    """Training steps that were done."""
    planned_steps: int = 0
    """Training steps that the epochs of ``config`` have; more than ``steps`` where the schedule was
    shortened to end within ``training.time_limit``."""
    seconds: float | None = None
    """From the command to its last step, validation and checkpoints: of all parts of the run."""
    epochs: list[EpochRecord] = []
    best_epoch: int | None = None
    finished_at: str | None = None
    peak_memory_bytes: int | None = None
    """Resident memory of the training process at its peak, and of its children; the largest where
    the run was resumed; None where the kernel tells none."""
    budgets: list[dict[str, Any]] = []
    earlier_machines: list[dict[str, Any]] = []
    """What ``machine`` was before the run was resumed on another one, or with other threads."""
    schema: int = SCHEMA

    def move_to(self, facts: dict[str, Any]) -> None:
        """The run goes on here: what it was computed with stays, where it runs may be new."""
        if any(self.machine.get(name) != value for name, value in facts.items()):
            self.earlier_machines.append(dict(self.machine))
            self.machine |= facts

    def write(self, path: Path) -> None:
        """Replace the file. Raises :class:`TrainingError` when it cannot be written."""
        with os_errors_as(TrainingError, "write the metrics"):
            write_json(path, msgspec.to_builtins(self))


Judge = Callable[[Metrics], list[dict[str, Any]]]
"""Turns a run's metrics into the rows of ``budgets``; the command line supplies it."""


def read_metrics(path: Path) -> Metrics:
    """Raises :class:`TrainingError` when the file is missing or damaged."""
    with os_errors_as(TrainingError, "read the training metrics"):
        raw = path.read_bytes()
    try:
        return msgspec.json.decode(raw, type=Metrics)
    except msgspec.MsgspecError as error:
        raise TrainingError(f"{path} is damaged: {error}") from error


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def metrics_to_plain(metrics: Metrics) -> dict[str, Any]:
    """Metrics as dictionaries and lists, for a checkpoint."""
    plain: dict[str, Any] = msgspec.to_builtins(metrics)
    return plain
