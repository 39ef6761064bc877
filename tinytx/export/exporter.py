"""Best checkpoint to a bundle: build the graph, prove parity, seal the folder."""

import platform
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from tinytx import __version__, bundle
from tinytx.bundle import (
    GOLDEN,
    GRAPH,
    SCHEMA,
    TOKENIZER,
    Golden,
    Manifest,
    ModelFacts,
    Provenance,
    Quality,
)
from tinytx.config import Settings, as_dict
from tinytx.errors import (
    BundleError,
    ExportError,
    TinytxError,
    os_errors_as,
)
from tinytx.export.graph import build_graph
from tinytx.export.parity import check_parity
from tinytx.export.record import training_record
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import verify
from tinytx.tokenizer import Tokenizer
from tinytx.train.checkpoint import load_model
from tinytx.train.corpus.source import own_bits_per_byte
from tinytx.train.data import Tokens, open_tokens, write_tokens
from tinytx.train.evaluate import evaluate
from tinytx.train.metrics import Metrics, read_metrics
from tinytx.train.model import Transformer
from tinytx.workspace import Workspace, atomic_directory, sha256_file

EVALUATION_BATCH = 32
FIXED_PROMPTS = ["", "The", "¿Qué es esto? ", "naïve café — 你好"]


@dataclass(frozen=True)
class ExportResult:
    """A bundle that exists."""

    manifest: Manifest
    skipped: bool
    """The bundle was already there, made of these very files."""


@dataclass(frozen=True)
class _Source:
    """What training left behind, loaded and checked."""

    model: Transformer
    settings: Settings
    content: dict[str, Any]
    metrics: Metrics
    tokenizer: Tokenizer
    val: Tokens


def export(space: Workspace) -> ExportResult:
    """Make ``bundle/`` from the best checkpoint of an output directory.

    Raises :class:`ExportError` when something is missing or damaged, and its kind
    :class:`ParityError` when graph and model disagree: then no bundle is written.
    """
    inputs = _input_hashes(space)
    stamp, versions = space.stamp("export"), _versions()
    if stamp.matches(versions, inputs):
        with suppress(BundleError):  # not whole after all: make it again
            made = bundle.Bundle(space.bundle)
            made.check_files()
            return ExportResult(made.manifest, skipped=True)
    source = _load(space, inputs)
    facts = _facts(source.settings)
    weights = {name: tensor.numpy() for name, tensor in source.model.state_dict().items()}
    graph = build_graph(weights, facts).SerializeToString()
    engine = Engine(facts, graph, source.tokenizer)
    parity, cases = check_parity(engine, source.model, source.val, _prompts(space, engine))
    score = evaluate(source.model, source.val, space.val_text.stat().st_size, EVALUATION_BATCH)
    manifest = Manifest(
        schema=SCHEMA,
        id="",
        files={},
        model=facts,
        start_id=source.tokenizer.start_id,
        provenance=_provenance(source, inputs, versions),
        training=training_record(source.metrics),
        parity=parity,
        quality=Quality(
            bits_per_byte=score.bits_per_byte,
            bytes=score.text_bytes,
            corpus_bits_per_byte=own_bits_per_byte(space.corpus_facts),
        ),
    )
    files = {
        GRAPH: graph,
        TOKENIZER: space.tokenizer.read_bytes(),
        GOLDEN: bundle.encode(Golden(schema=SCHEMA, cases=cases)),
    }
    with os_errors_as(ExportError, "write the bundle"):
        with atomic_directory(space.bundle) as folder:
            sealed = bundle.write(folder, manifest, files)
            try:
                verify(folder)  # the device will do the same
            except BundleError as error:
                raise ExportError(f"the new bundle does not verify: {error.message}") from error
        stamp.write(versions, inputs, sorted(space.bundle.iterdir()))
    return ExportResult(sealed, skipped=False)


def _input_hashes(space: Workspace) -> dict[str, str]:
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


def _load(space: Workspace, inputs: dict[str, str]) -> _Source:
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
    return _Source(model, settings, content, metrics, tokenizer, val)


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


def _facts(settings: Settings) -> ModelFacts:
    model = settings.model
    return ModelFacts(
        layers=model.layers,
        width=model.width,
        heads=model.heads,
        head_size=model.head_size,
        hidden=model.hidden,
        max_seq_length=model.max_seq_length,
        vocab_size=settings.tokenizer.vocab_size,
        rope_base=model.rope_base,
        parameters=settings.parameters,
        precision="float32",
    )


def _prompts(space: Workspace, engine: Engine) -> list[str]:
    """Golden prompts: empty, short, non-ASCII, and held-out text up to nearly the whole context."""
    with space.val_text.open(encoding="utf-8", newline="") as file:
        text = file.read(20_000)
    ids = engine.tokenizer.encode(text)
    longest = engine.facts.max_seq_length
    cuts = sorted({max(1, n) for n in (longest // 4, longest // 2, longest - 9)})
    held_out = [engine.tokenizer.decode(ids[:n]) for n in cuts if n < len(ids)]
    fits = [p for p in FIXED_PROMPTS + held_out if len(engine.tokenizer.encode(p)) + 1 < longest]
    return list(dict.fromkeys(fits))


def _provenance(source: _Source, inputs: dict[str, str], versions: dict[str, str]) -> Provenance:
    return Provenance(
        tinytx=__version__,
        run_id=source.metrics.run_id,
        checkpoint_sha256=inputs["checkpoint"],
        tokenizer_sha256=inputs["tokenizer"],
        train_sha256=inputs["train_text"],
        val_sha256=inputs["val_text"],
        settings=_recorded(source.settings),
        versions=versions,
    )


def _recorded(settings: Settings) -> dict[str, dict[str, str | int | float | None]]:
    """The settings as the manifest holds them: several paths are one text."""
    return {
        section: {
            key: ", ".join(value) if isinstance(value, list | tuple) else value
            for key, value in values.items()
        }
        for section, values in as_dict(settings).items()
    }


def _versions() -> dict[str, str]:
    return {
        "tinytx": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }
