"""What a bundle says about its training: the evidence for the training budget, and its origin."""

from typing import Any

import msgspec

from tinytx.bundle import TrainingRecord
from tinytx.config import Settings, as_dict
from tinytx.errors import ExportError
from tinytx.provenance import CorpusRecord
from tinytx.train.metrics import Metrics
from tinytx.train.recorded import without_folders

NAMES_AT_MOST = 20
"""Paths of a setting whose names a manifest holds."""


def training_record(metrics: Metrics) -> TrainingRecord:
    """The part of a run's metrics that the training budget is judged by: whole epochs only, since
    the last one of a shortened run would pass for a fast one.

    Raises :class:`ExportError` when the metrics do not say how long the run should have been.
    """
    try:
        wanted = metrics.config["training"]["epochs"]
    except (KeyError, TypeError) as error:
        raise ExportError("the training metrics hold no number of epochs") from error
    whole = [epoch.seconds for epoch in metrics.epochs if epoch.part == 1]
    return TrainingRecord(
        epochs=len(whole),
        epoch_seconds=whole,
        setup_seconds=metrics.setup_seconds,
        complete=len(whole) == wanted and metrics.interruptions == 0,
        machine={name: str(value) for name, value in metrics.machine.items()},
    )


def recorded_settings(settings: Settings) -> dict[str, dict[str, str | int | float | None]]:
    """The settings as a manifest holds them: files by their names, several in one text."""
    return {
        section: {key: _plain(value) for key, value in values.items()}
        for section, values in as_dict(without_folders(settings)).items()
    }


def _plain(value: Any) -> str | int | float | None:
    if not isinstance(value, list | tuple):
        return value  # type: ignore[no-any-return]
    more = len(value) - NAMES_AT_MOST
    return ", ".join(value[:NAMES_AT_MOST]) + (f" and {more:,} more" if more > 0 else "")


def corpus_record(metrics: Metrics) -> CorpusRecord | None:
    """The files of the corpus, where the run recorded any."""
    known = {key: metrics.corpus.get(key) for key in CorpusRecord.__struct_fields__}
    try:
        record = msgspec.convert(known, CorpusRecord)
    except msgspec.ValidationError:  # the metrics of an earlier version, or without files
        return None
    return record if record.files else None


def tokenizer_versions(metrics: Metrics) -> dict[str, str]:
    """The version of what made the tokenizer, where the run recorded it."""
    made_with = metrics.tokenizer.get("made_with")
    return {k: str(v) for k, v in made_with.items()} if isinstance(made_with, dict) else {}
