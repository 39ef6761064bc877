"""A random model beside its graph, and bundles that may be changed and sealed again."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinytx import bundle
from tinytx.bundle import MANIFEST, FileFacts, Manifest, ModelFacts
from tinytx.config import ModelSettings
from tinytx.export.graph import build_graph
from tinytx.runtime.engine import Engine
from tinytx.tokenizer import Tokenizer
from tinytx.train.model import Transformer

Seal = Callable[..., Manifest]

FACTS = ModelFacts(
    layers=2,
    width=32,
    heads=2,
    head_size=16,
    hidden=24,
    max_seq_length=24,
    vocab_size=320,
    rope_base=10_000.0,
    pair_rows=50,
    parameters=0,
    precision="float32",
)


@dataclass
class Pair:
    """The same random weights in PyTorch and as a graph; large ones, so that all of it shows."""

    model: Transformer
    graph: bytes
    tokenizer: Tokenizer
    facts: ModelFacts = FACTS

    def engine(self, facts: ModelFacts = FACTS, threads: int = 1) -> Engine:
        return Engine(facts, self.graph, self.tokenizer, threads=threads, name="the graph")

    def reference(self, ids: list[int]) -> NDArray[np.float32]:
        """PyTorch's logits at every position, recomputed without a cache, [T, V]."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.model(torch.tensor([ids]))[0].numpy()
        return logits


@pytest.fixture(scope="session")
def pair(tiny_run: Path) -> Pair:
    shape = ModelSettings(layers=2, width=32, heads=2, hidden=24, max_seq_length=24, pair_rows=50)
    model = Transformer(shape, FACTS.vocab_size).eval()
    generator = torch.Generator().manual_seed(11)
    for parameter in model.parameters():
        mean = 1.0 if parameter.dim() == 1 else 0.0
        torch.nn.init.normal_(parameter, mean, 0.3, generator=generator)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(weights, FACTS).SerializeToString()
    return Pair(model, graph, Tokenizer.load(tiny_run / "tokenizer.model"))


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, to be changed."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def seal() -> Seal:
    """Writes files into a bundle, changes its manifest, and gives it a valid id."""

    def seal(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Manifest:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        facts = dict(manifest.files)
        for name, data in (files or {}).items():
            (folder / name).write_bytes(data)
            facts[name] = FileFacts(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        unsealed = msgspec.structs.replace(manifest, files=facts, **changes)
        sealed = msgspec.structs.replace(unsealed, id=bundle.identify(unsealed))
        (folder / MANIFEST).write_bytes(bundle.encode(sealed))
        return sealed

    return seal
