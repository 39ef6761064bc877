"""What a sweep and the process of one trial say to each other: a line of JSON each."""

from collections.abc import Callable
from typing import Any

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One trial."""

    settings: dict[str, dict[str, Any]]
    folder: str
    """An output directory that holds the text, tokenizer and tokens already."""


class Pace(msgspec.Struct, frozen=True, tag=True):
    """After the first steps: what 20 epochs would take, if all steps took the same."""

    twenty_epochs_ns: float
    """By the fastest of those steps: the run can only be slower."""


class EpochEnd(msgspec.Struct, frozen=True, tag=True):
    """After an epoch and its validation."""

    epoch: int
    bits_per_byte: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """The trial was trained to its end."""

    bits_per_byte: float
    """After the best epoch."""
    epoch_seconds: list[float]
    """Validation and checkpoints included."""
    setup_seconds: float
    tokens_per_second: float | None = None
    """Of training, the mean over the epochs."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It was not."""

    reason: str
    remedy: str = ""


Message = Pace | EpochEnd | Done | Failed
Listen = Callable[[Message], None]
"""Hears of a trial on its way; raises :class:`StopTrial` to end it."""
Run = Callable[[Task, Listen], Done]
"""Trains one trial. Raises :class:`TrainingError`, or whatever ``Listen`` raises."""


class StopTrial(Exception):
    """The trial is not worth going on with."""
