"""Best checkpoint to a bundle: build the graphs, prove parity, seal the folder."""

import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch

from tinytx import __version__, bundle
from tinytx.bundle import (
    GOLDEN,
    GRAPH,
    GRAPHS,
    SCHEMA,
    TOKENIZER,
    Golden,
    Manifest,
    ModelFacts,
    Precision,
    Quality,
)
from tinytx.config import Settings
from tinytx.errors import BundleError, ExportError, os_errors_as
from tinytx.export.graph import build_graph
from tinytx.export.parity import check_parity
from tinytx.export.prompts import golden_prompts
from tinytx.export.record import (
    corpus_record,
    recorded_settings,
    tokenizer_versions,
    training_record,
)
from tinytx.export.source import Source, input_hashes, load_source
from tinytx.export.variants import HeldOut, Made, make_variant
from tinytx.provenance import Provenance
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import verify
from tinytx.train.corpus.source import own_bits_per_byte
from tinytx.train.evaluate import evaluate
from tinytx.workspace import Workspace, atomic_directory

EVALUATION_BATCH = 32
PROMPT_CHARACTERS = 20_000
"""Of the held-out text: golden prompts are cut from its beginning."""

Choice = Literal["auto", "float32", "int8", "int4"]
TRIED: dict[Choice, tuple[Precision, ...]] = {
    "auto": ("int8", "int4"),
    "float32": (),
    "int8": ("int8",),
    "int4": ("int4",),
}
"""The quantised graphs that each choice asks for; float32 is always in the bundle."""


@dataclass(frozen=True)
class ExportResult:
    """A bundle that exists."""

    manifest: Manifest
    skipped: bool
    """The bundle was already there, made of these very files."""


def export(space: Workspace, precision: Choice = "auto") -> ExportResult:
    """Make ``bundle/`` from the best checkpoint of an output directory.

    ``auto`` ships every quantised variant that earns its place; the most precise of them is
    the default. Raises :class:`ExportError` when something is missing or damaged, or when a variant
    that was asked for does not earn its place, and its kind :class:`ParityError` when graph and
    model disagree: then no bundle is written.
    """
    inputs = input_hashes(space)
    stamp, versions = space.stamp("export"), _versions()
    settings = {"precision": precision, **versions}
    if stamp.matches(settings, inputs):
        with suppress(BundleError):  # not whole after all: make it again
            made = bundle.Bundle(space.bundle)
            made.check_files()
            return ExportResult(made.manifest, skipped=True)
    source = load_source(space, inputs)
    manifest, files = _make(space, source, precision, _provenance(source, inputs, versions))
    with os_errors_as(ExportError, "write the bundle"):
        with atomic_directory(space.bundle) as folder:
            sealed = bundle.write(folder, manifest, files)
            _verify(folder)  # the device will do the same
        stamp.write(settings, inputs, sorted(space.bundle.iterdir()))
    return ExportResult(sealed, skipped=False)


def _verify(folder: Path) -> None:
    """Every model of the new bundle, not only what this machine would load."""
    try:
        verified = verify(folder)
    except BundleError as error:
        raise ExportError(f"the new bundle does not verify: {error.message}") from error
    for name, how in verified.differing.items():
        raise ExportError(f"the new bundle does not verify: {how} ({name})")


def _make(
    space: Workspace, source: Source, precision: Choice, provenance: Provenance
) -> tuple[Manifest, dict[str, bytes]]:
    """The unsealed manifest and the files, every graph proven."""
    facts = model_facts(source.settings)
    weights = {name: tensor.numpy() for name, tensor in source.model.state_dict().items()}
    graph = build_graph(weights, facts).SerializeToString()
    engine = Engine(facts, graph, source.tokenizer)
    prompts = _prompts(space, source)
    parity, cases = check_parity(engine, source.model, source.val, prompts)
    score = evaluate(source.model, source.val, source.val_bytes, EVALUATION_BATCH)
    held_out = HeldOut(source.val, source.val_bytes, score.bits_per_byte)
    made: dict[Precision, Made] = {}
    size = len(graph)
    for name in TRIED[precision]:
        one = make_variant(name, weights, facts, source.tokenizer, held_out, prompts, size)
        if precision == name and one.facts.reason:
            raise ExportError(f"{name} does not earn its place: {one.facts.reason}")
        made[name] = one
        size = one.facts.size if one.facts.shipped else size
    shipped: dict[Precision, Made] = {n: one for n, one in made.items() if one.facts.shipped}
    manifest = Manifest(
        schema=SCHEMA,
        id="",
        files={},
        model=facts,
        start_id=source.tokenizer.start_id,
        provenance=provenance,
        training=training_record(source.metrics),
        parity=parity,
        quality=Quality(
            bits_per_byte=score.bits_per_byte,
            bytes=score.text_bytes,
            corpus_bits_per_byte=own_bits_per_byte(space.corpus_facts),
        ),
        precision=next(iter(shipped), "float32"),
        variants={name: one.facts for name, one in made.items()},
    )
    golden = Golden(
        schema=SCHEMA, cases=cases, variants={name: one.cases for name, one in shipped.items()}
    )
    files = {
        GRAPH: graph,
        TOKENIZER: space.tokenizer.read_bytes(),
        GOLDEN: bundle.encode(golden),
        **{GRAPHS[name]: one.graph for name, one in shipped.items()},
    }
    return manifest, files


def _prompts(space: Workspace, source: Source) -> list[str]:
    with space.val_text.open(encoding="utf-8", newline="") as file:
        text = file.read(PROMPT_CHARACTERS)
    return golden_prompts(source.tokenizer, text, source.settings.model.max_seq_length)


def model_facts(settings: Settings) -> ModelFacts:
    """The shape of the float32 model of these settings."""
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
        pair_rows=model.pair_rows,
        parameters=settings.parameters,
        precision="float32",
    )


def _provenance(source: Source, inputs: dict[str, str], versions: dict[str, str]) -> Provenance:
    return Provenance(
        tinytx=__version__,
        run_id=source.metrics.run_id,
        checkpoint_sha256=inputs["checkpoint"],
        tokenizer_sha256=inputs["tokenizer"],
        train_sha256=inputs["train_text"],
        val_sha256=inputs["val_text"],
        settings=recorded_settings(source.settings),
        versions={**tokenizer_versions(source.metrics), **versions},
        corpus=corpus_record(source.metrics),
    )


def _versions() -> dict[str, str]:
    return {
        "tinytx": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }
