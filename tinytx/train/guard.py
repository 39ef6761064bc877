"""Keeps what an earlier run left in the output directory, until the user says otherwise.

Asked three times, each before anything is replaced: when the settings are known, when the text is
known, and when training is about to begin afresh.
"""

from typing import Any

from tinytx.config import Settings
from tinytx.errors import CheckpointError, OverwriteRefused, TinytxError
from tinytx.train import checkpoint
from tinytx.train.job import Options, first_change
from tinytx.train.metrics import Metrics, read_metrics
from tinytx.workspace import Workspace

REMEDY = "--overwrite replaces it; another --output-dir keeps it"
RESUMABLE = "--resume continues it; --overwrite replaces it; another --output-dir keeps it"


class Guard:
    """What an output directory holds, compared with what a run is about to do."""

    def __init__(self, space: Workspace, options: Options) -> None:
        self.space, self.options = space, options

    def check_settings(self, settings: Settings | None) -> None:
        """Before anything is written; None where the settings are not known before the text is.

        Raises :class:`OverwriteRefused`, or :class:`CheckpointError` where ``--resume`` was asked
        for."""
        if self.options.overwrite:
            return
        interrupted = self.space.last_checkpoint.exists()
        if interrupted and self.options.resume:
            state = checkpoint.load(self.space.last_checkpoint)
            if settings and (difference := first_change(_config_of(state), settings)):
                raise self._another_run(difference)
        elif interrupted and not self.options.resume_if_possible:
            raise OverwriteRefused(f"{self.space.root} holds an interrupted run", RESUMABLE)
        elif (
            settings
            and not (interrupted or self.options.resume)
            and (metrics := self._finished())
            and (difference := first_change(metrics.config, settings))
        ):
            raise self._finished_model(difference)

    def check_texts(self, train: str, val: str) -> None:
        """Before the text that a model or a checkpoint was made of is replaced by another.

        Both are the sha256 of a text.
        """
        hashes = {"train_text": train, "val_text": val}
        if self.options.overwrite:
            return
        if self.options.resume and self.space.last_checkpoint.exists():
            theirs = checkpoint.load(self.space.last_checkpoint).get("hashes")
            if isinstance(theirs, dict) and (difference := _other_text(theirs, hashes)):
                raise self._another_run(difference)
        elif (metrics := self._finished()) is not None:
            known = {
                "train_text": metrics.corpus.get("train_sha256"),
                "val_text": metrics.corpus.get("val_sha256"),
            }
            if difference := _other_text(known, hashes):
                raise self._finished_model(difference)

    def check_models(self) -> None:
        """Before training begins afresh: whatever the reason, a model would be replaced."""
        if self.options.overwrite:
            return
        for path in (self.space.best_model, self.space.final_model):
            if path.exists():
                raise OverwriteRefused(f"{path} would be replaced by a new model", REMEDY)

    def _finished(self) -> Metrics | None:
        """The record of the model that is here, if there is one and it can be read."""
        if not (self.space.best_model.exists() or self.space.final_model.exists()):
            return None
        try:
            return read_metrics(self.space.metrics)
        except TinytxError:
            return None

    def _finished_model(self, difference: str) -> OverwriteRefused:
        return OverwriteRefused(
            f"{self.space.root} holds the model of another run: {difference}", REMEDY
        )

    def _another_run(self, difference: str) -> CheckpointError:
        return CheckpointError(
            f"{self.space.last_checkpoint} belongs to another run: {difference}",
            "give the same settings and text; --overwrite in place of --resume starts afresh",
        )


def _config_of(state: dict[str, Any]) -> dict[str, Any]:
    config = state.get("settings")
    return config if isinstance(config, dict) else {}


def _other_text(theirs: dict[str, Any], ours: dict[str, str]) -> str:
    changed = [name for name, digest in ours.items() if theirs.get(name) not in (digest, None)]
    return f"the {changed[0].replace('_', ' ')} has changed" if changed else ""
