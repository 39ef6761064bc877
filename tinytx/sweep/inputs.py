"""Corpora and tokenizers, prepared once and shared by all trials with the same settings of them.

prepared/<corpus>-<tokenizer>/   text, tokenizer and tokens, as `tinytx train` leaves them
trials/0007/                     the same files under a second name, and what was trained
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinytx.config import Settings, as_dict
from tinytx.errors import CorpusError, TrainingError, os_errors_as
from tinytx.train.job import Options
from tinytx.train.pipeline import Pipeline
from tinytx.train.progress import Reporter
from tinytx.workspace import Workspace

Prove = Callable[[Settings, Workspace], None]
"""Hears of a prepared folder before it is used. Raises :class:`OtherText`."""


class OtherText(CorpusError):
    """This machine's text is not the one that the others of a search train on."""


class Inputs:
    """The prepared folders of a sweep."""

    def __init__(self, root: Path, reporter: Reporter, prove: Prove | None = None) -> None:
        self._root, self._reporter, self._prove = root, reporter, prove
        self._ready: set[Path] = set()

    def prepare(self, settings: Settings) -> Workspace:
        """The folder for these settings, made or completed where need be.

        Raises :class:`CorpusError` or :class:`TokenizerError`.
        """
        plain = as_dict(settings)
        corpus, tokenizer = digest(plain["corpus"]), digest(plain["tokenizer"])
        space = Workspace(self._root / f"{corpus}-{tokenizer}")
        if space.root not in self._ready:
            self._take_corpus(space, corpus)
            pipeline = Pipeline(settings, space, Options(), self._reporter)
            pipeline.corpus()
            pipeline.tokenizer()
            if self._prove is not None:
                self._prove(settings, space)
            self._ready.add(space.root)
        return space

    def _take_corpus(self, space: Workspace, corpus: str) -> None:
        """Another vocabulary needs no second download: the text of a sibling serves."""
        stamp = space.stamp("corpus").path
        for sibling in map(Workspace, sorted(self._root.glob(f"{corpus}-*"))):
            if stamp.exists() or sibling.root == space.root:
                continue
            if sibling.stamp("corpus").path.exists():
                _link_all(sibling, space, _corpus_files(sibling))


def link_trial(prepared: Workspace, trial: Workspace) -> None:
    """Give a trial's empty folder the text, tokenizer and tokens of a prepared one."""
    files = [*_corpus_files(prepared), prepared.tokenizer]
    files += [prepared.train_tokens, prepared.val_tokens]
    files += [prepared.stamp(stage).path for stage in ("tokenizer", "tokens")]
    _link_all(prepared, trial, files)


def discard(trial: Workspace) -> None:
    """Delete a trial's checkpoints and inputs; its metrics stay."""
    if not trial.root.is_dir():
        return
    for path in trial.root.iterdir():
        if path == trial.metrics:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # not empty
        trial.root.rmdir()


def _corpus_files(space: Workspace) -> list[Path]:
    files = [space.train_text, space.val_text, space.corpus_facts, space.stamp("corpus").path]
    return [path for path in files if path.exists()]


def _link_all(source: Workspace, target: Workspace, files: list[Path]) -> None:
    """A second name for each file, which is never written in place; a copy where links fail."""
    with os_errors_as(TrainingError, f"fill {target.root}"):
        for path in files:
            new = target.root / path.relative_to(source.root)
            new.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            try:
                os.link(path, new)
            except OSError:
                shutil.copyfile(path, new)


def digest(document: object) -> str:
    """A short name for whatever JSON can hold."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]
