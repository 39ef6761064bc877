"""Checkpoints: written whole or not at all, and loaded without executing anything.

A checkpoint is a dictionary of tensors and plain values. It is read with
``weights_only=True``: a file that holds any other pickled object is refused.
"""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import torch

from tinytx.config import Settings, as_dict, settings_from
from tinytx.errors import CheckpointError, TrainingError, UsageError, os_errors_as
from tinytx.train.model import Transformer
from tinytx.train.recorded import without_folders
from tinytx.workspace import atomic_file

SCHEMA = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path``. Raises :class:`TrainingError` when the disk is full."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, **content}, buffer)
    with os_errors_as(TrainingError, f"write {path.name}"), atomic_file(path) as file:
        file.write(buffer.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises :class:`CheckpointError` with one sentence."""
    try:
        with warnings.catch_warnings(action="ignore"):  # a foreign pickle has its own sentence
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing", "run `tinytx train` first") from error
    except Exception as error:  # truncated zips, foreign pickles and the like: many types
        raise CheckpointError(
            f"{path} cannot be loaded: it is damaged, or holds objects other than weights"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise CheckpointError(f"{path} is not a checkpoint of this version of tinytx")
    return content


def model_content(
    model: Transformer, settings: Settings, hashes: dict[str, str], **facts: Any
) -> dict[str, Any]:
    """What a model checkpoint holds: weights, settings, and the sha256 of what it was made of."""
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    plain = as_dict(without_folders(settings))
    return {"model": weights, "settings": plain, "hashes": dict(hashes), **facts}


def settings_of(content: dict[str, Any], path: Path) -> Settings:
    """The settings that a checkpoint was trained with. Raises :class:`CheckpointError`."""
    try:
        return settings_from(content["settings"], str(path))
    except (KeyError, UsageError) as error:
        raise CheckpointError(f"{path} holds no usable settings: {error}") from error


def load_model(path: Path) -> tuple[Transformer, Settings, dict[str, Any]]:
    """A float32 model in evaluation mode, its settings, and the checkpoint itself."""
    content = load(path)
    settings = settings_of(content, path)
    model = Transformer(settings.model, settings.tokenizer.vocab_size)
    fill(model, content, path)
    return model.eval(), settings, content


def fill(model: Transformer, content: dict[str, Any], path: Path) -> None:
    """Copy a checkpoint's weights into ``model``. Raises :class:`CheckpointError`."""
    try:
        model.load_state_dict(content["model"])
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold the weights of its own settings") from error
    if not all(math.isfinite(float(p.detach().sum())) for p in model.parameters()):
        raise CheckpointError(f"{path} holds weights that are not finite")
