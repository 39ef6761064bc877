"""One fresh process that loads a bundle in stages: ``python -m tinytx.measure.run.memory_worker``.

Reads a task as JSON from stdin and answers like :mod:`tinytx.measure.run.worker`. Only the standard
library is imported here: every other import is a stage whose cost is looked at. The stages and
the steps of the model are those of the worker that measures memory.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from tinytx.measure.memory import smaps

if TYPE_CHECKING:
    from tinytx.bundle import Precision
    from tinytx.measure.memory.attribution import Stage
    from tinytx.measure.record.protocol import Answer

PR_SET_PDEATHSIG = 1
SMALLEST_MODEL = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a02"
    "0801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""An ONNX model of one node, y = Identity(x): its session takes what every first one takes."""
IMPORTS = {
    "numpy": ("numpy",),
    "other libraries": ("msgspec", "sentencepiece"),
    "onnxruntime": ("onnxruntime",),
    "tinytx": ("tinytx.measure.run.worker", "tinytx.runtime.engine", "tinytx.runtime.sampling"),
}


class Stocktaking:
    """The stages so far, kept as plain tuples: nothing is imported for them."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, smaps.Inventory, smaps.Heap | None]] = []

    def end(self, name: str) -> None:
        """A stage is over: see what the process holds now."""
        gc.collect()
        heap = smaps.heap()
        self._seen.append((name, smaps.inventory(), heap))

    def stages(self) -> "list[Stage]":
        from tinytx.measure.memory.attribution import stage

        return [stage(*one) for one in self._seen]


def run(
    bundle: str, threads: int, sampling: dict[str, Any], precision: "Precision | None"
) -> "Answer":
    """Load the bundle stage by stage, run it to its longest context, and say where memory went."""
    stock = Stocktaking()
    stock.end("interpreter")
    for name, modules in IMPORTS.items():
        for module in modules:
            imported = importlib.import_module(module)
            if module == "onnxruntime":
                imported.InferenceSession(SMALLEST_MODEL, providers=["CPUExecutionProvider"])
        stock.end(name)
    from pathlib import Path

    from tinytx.bundle import GRAPHS, TOKENIZER, Bundle
    from tinytx.measure.memory import attribution, copies
    from tinytx.measure.record import protocol
    from tinytx.measure.run import worker
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.processor import default_precision
    from tinytx.runtime.sampling import Sampler, Sampling
    from tinytx.tokenizer import Tokenizer

    folder = Path(bundle)
    stock.end("before the tokenizer")
    tokenizer = Tokenizer(Bundle(folder).read_file(TOKENIZER))
    stock.end("tokenizer")
    del tokenizer
    stock.end("before the model")
    engine = Engine.load(folder, threads=threads, precision=precision)
    stock.end("model")
    choose = Sampler(Sampling(**sampling))
    worker.read_longest_prompt(engine, choose)
    worker.generate_longest(engine, choose)
    stock.end("longest context")
    smaps.trim()
    memory = copies.copied(smaps.mappings())
    opened = Bundle(folder)
    weights = copies.weights_of(
        opened.read_file(
            GRAPHS[opened.manifest.choose(precision or default_precision(opened.manifest))]
        )
    )
    found = attribution.attribute(
        stock.stages(),
        weights=sum(copies.bytes_held(one, memory) for one in weights),
        one_copy=sum(one.nbytes for one in weights),
        cache=engine.cache_bytes,
        bundle=str(folder.resolve()),
    )
    return protocol.Answer(attribution=found)


def main() -> None:
    """Serve one task, and die when the bench that asked for it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reply_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.buffer.read())
    try:
        answer = run(task["bundle"], task["threads"], task["sampling"], task["precision"])
    except Exception as error:
        from tinytx.errors import TinytxError
        from tinytx.measure.record.protocol import Answer

        if not isinstance(error, TinytxError):
            raise
        answer = Answer(error=error.message, error_kind=type(error).__name__)
    import msgspec

    reply_to.write(msgspec.json.encode(answer))
    reply_to.flush()


if __name__ == "__main__":
    main()
