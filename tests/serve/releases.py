"""Releases to serve: bundles whose texts differ, a bad one, and a store that holds them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from tinytx import bundle
from tinytx.bundle import GOLDEN, GRAPHS, Bundle, Golden, GoldenCase
from tinytx.runtime.decoder import Decoder
from tinytx.runtime.golden import greedy
from tinytx.tokenizer import Tokenizer


def another(original: Path, folder: Path, seed: int) -> str:
    """A sound bundle in ``folder / ID`` of a model that says something else; returns the id.

    It holds float32 alone: the quantised graphs of ``original`` would say what that says.
    """
    held = Bundle(original)
    for name in (GRAPHS[precision] for precision in held.manifest.precisions[1:]):
        held.manifest.files.pop(name)
    held.manifest = msgspec.structs.replace(held.manifest, precision="float32", variants={})
    graph = onnx.load_from_string(held.read_file(GRAPHS["float32"]))
    (tables,) = [one for one in graph.graph.initializer if one.name == "tables"]
    values = numpy_helper.to_array(tables)
    noise = np.random.default_rng(seed).normal(0.0, values.std(), values.shape)
    tables.CopyFrom(numpy_helper.from_array((values + noise).astype(np.float32), "tables"))
    data = graph.SerializeToString()
    tokenizer = Tokenizer(held.read_file(bundle.TOKENIZER), "tokenizer.model")
    engine = Decoder(held.manifest.model, data, tokenizer)
    cases = [
        GoldenCase(prompt=case.prompt, tokens=greedy(engine, case.prompt, 12)[0])
        for case in held.golden().cases
    ]
    golden = bundle.encode(Golden(schema=bundle.SCHEMA, cases=cases))
    return sealed(held, folder, {GRAPHS["float32"]: data, GOLDEN: golden})


def wrong(original: Path, folder: Path) -> str:
    """A bundle that does not reproduce its golden outputs; returns the id."""
    held = Bundle(original)
    document = json.loads(held.read_file(GOLDEN))
    for case in document["cases"]:
        case["tokens"] = [(token + 1) % 300 for token in case["tokens"]]
    golden = bundle.encode(msgspec.convert(document, Golden))
    return sealed(held, folder, {GOLDEN: golden})


def sealed(held: Bundle, folder: Path, changes: dict[str, bytes]) -> str:
    """A copy with other files, and a manifest that vouches for them, in ``folder / ID``."""
    files = {name: held.read_file(name) for name in held.manifest.files} | changes
    draft = folder / "draft"
    draft.mkdir(parents=True)
    identity = bundle.write(draft, held.manifest, files).id
    draft.rename(folder / identity)
    return identity


class Shelf:
    """A store, switched as releases are: by the rename of a new link."""

    def __init__(self, root: Path, original: Path) -> None:
        self.root, self._original = root, original
        (root / "releases").mkdir(parents=True)

    def another(self, seed: int) -> str:
        return another(self._original, self.root / "releases", seed)

    def wrong(self) -> str:
        return wrong(self._original, self.root / "releases")

    def switch(self, identity: str) -> None:
        link = self.root / "next"
        link.symlink_to(f"releases/{identity}")
        link.rename(self.root / "current")

    @property
    def serving(self) -> dict[str, Any] | None:
        """What serving.json says, if it is there."""
        try:
            found: dict[str, Any] = json.loads((self.root / "serving.json").read_bytes())
        except FileNotFoundError:
            return None
        return found
