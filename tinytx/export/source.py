"""What training left behind, loaded and checked before anything is made of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytx.config import Settings
from tinytx.errors import ExportError, TinytxError, os_errors_as
from tinytx.tokenizer import Tokenizer
from tinytx.train.checkpoint import load_model
from tinytx.train.data import Tokens, open_tokens
from tinytx.train.encoding import write_tokens
from tinytx.train.metrics import Metrics, read_metrics
from tinytx.train.model import Transformer
from tinytx.workspace import Workspace, sha256_file


@dataclass(frozen=True)
class Source:
    """A finished training run."""

    model: Transformer
    settings: Settings
    content: dict[str, Any]
    metrics: Metrics
    tokenizer: Tokenizer
    val: Tokens
    val_bytes: int
    """Of the held-out text."""


def input_hashes(space: Workspace) -> dict[str, str]:
    """The sha256 of every file that a bundle is made of. Raises :class:`ExportError`."""
    files = {
        "checkpoint": space.best_model,
        "tokenizer": space.tokenizer,
        "metrics": space.metrics,
        "train_text": space.train_text,
        "val_text": space.val_text,
        "val_tokens": space.val_tokens,
    }
    for path in files.values():
        if not path.is_file():
            raise ExportError(
                f"{path} is missing", f"run `tinytx train --output-dir {space.root}` first"
            )
    with os_errors_as(ExportError, "read what training wrote"):
        return {name: sha256_file(path) for name, path in files.items()}


def load_source(space: Workspace, inputs: dict[str, str]) -> Source:
    """Load a run whose files belong together. Raises :class:`ExportError`."""
    try:
        model, settings, content = load_model(space.best_model)
        metrics = read_metrics(space.metrics)
        tokenizer = Tokenizer.load(space.tokenizer)
    except TinytxError as error:
        raise ExportError(f"cannot export: {error.message}", error.remedy) from error
    hashes = content.get("hashes")
    for name in ("train_text", "val_text", "tokenizer"):
        if not isinstance(hashes, dict) or hashes.get(name) != inputs[name]:
            raise ExportError(
                f"the {name.replace('_', ' ')} in {space.root} is not the one that "
                f"{space.best_model.name} was trained with",
                f"run `tinytx train --output-dir {space.root}` again",
            )
    if content.get("run_id") != metrics.run_id:
        raise ExportError(
            f"{space.metrics.name} and {space.best_model.name} come from different runs",
            f"run `tinytx train --output-dir {space.root}` again",
        )
    val = _held_out(space, tokenizer, inputs["val_tokens"])
    size = space.val_text.stat().st_size
    return Source(model, settings, content, metrics, tokenizer, val, size)


def _held_out(space: Workspace, tokenizer: Tokenizer, sha256: str) -> Tokens:
    """The tokens that quality is measured on: they must be what the held-out text makes."""
    checking = os_errors_as(ExportError, "check the held-out tokens")
    with checking, tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "val.bin"
        write_tokens(space.val_text, tokenizer, again)
        if sha256_file(again) != sha256:
            raise ExportError(
                f"{space.val_tokens} does not hold the tokens of {space.val_text}",
                f"run `tinytx train --output-dir {space.root}` again",
            )
    return open_tokens(space.val_tokens)
