"""What `tinytx plan` predicts from, measured: steps of real trainers and this machine's rates.

    python bench/plan_steps.py compile --only "4x128"     # kernels of a shape, and a run's peak
    python bench/plan_steps.py steps --seconds 4          # rates of the machine, then every shape
    python bench/plan_steps.py steps --float32            # the same without bfloat16

Random tokens. Prints a JSON document after each shape; the last ones of several sittings are kept
in ``bench/plan/steps.json``, from which ``bench/plan_fit.py`` fits the constants of
``tinytx/fit/steps.py``. Compile first: then ``steps`` takes about 6 s for each shape. Held to AVX2
by ``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2``.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from our_training import measure

from tinytx.config import Settings, load_settings
from tinytx.train.memory import peak_memory

# vocabulary, layers, width, heads, hidden, context, windows, tables, pairs
SHAPES: dict[str, tuple[int, int, int, int, int, int, int, bool, int]] = {
    "2x80": (2_048, 2, 80, 1, 160, 256, 16, True, 16_384),
    "4x128": (2_048, 4, 128, 2, 256, 256, 16, True, 3_584),
    "5x160": (4_096, 5, 160, 5, 432, 256, 16, True, 16_384),
    "3x96": (1_024, 3, 96, 2, 272, 256, 16, False, 16_384),
    "2x64": (1_024, 2, 64, 1, 128, 256, 16, False, 4_096),
    "4x192": (4_096, 4, 192, 6, 384, 256, 16, False, 16_384),
    "6x128 short": (4_096, 6, 128, 4, 344, 128, 32, True, 0),
    "3x128": (2_048, 3, 128, 2, 352, 256, 16, True, 16_384),
    "4x160": (4_096, 4, 160, 5, 432, 256, 16, False, 16_384),
    "6x192": (2_048, 6, 192, 6, 528, 256, 16, False, 8_192),
}
HELD_OUT = ("3x128", "4x160", "6x192")
"""Never used for the constants: the prediction is compared with these."""


def settings_of(name: str, precision: str) -> Settings:
    """A shape, compiled, in one arithmetic."""
    vocabulary, layers, width, heads, hidden, length, windows, tables, pairs = SHAPES[name]
    keys: dict[str, object] = {
        "tokenizer.vocab_size": vocabulary,
        "model.layers": layers,
        "model.width": width,
        "model.heads": heads,
        "model.hidden": hidden,
        "model.max_seq_length": length,
        "model.block_tables": tables,
        "model.pair_rows": pairs,
        "training.batch_size": windows,
        "training.precision": precision,
        "training.compile": "on",
    }
    return load_settings(flags=keys)


def steps_of(name: str, precision: str, seconds: float) -> dict[str, Any]:
    """Seconds of a step of a shape, the median of some seconds' steps."""
    settings = settings_of(name, precision)
    torch._dynamo.reset()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(settings, seconds, Path(folder) / "out")
    rates: Any = found["tokens_per_second"]
    tokens = settings.training.batch_size * settings.model.max_seq_length
    return {
        "shape": name,
        "precision": precision,
        "threads": found["threads"],
        "seconds": statistics.median(tokens / rate for rate in rates),
        "fastest": min(tokens / rate for rate in rates),
        "steps": len(rates),
        "whole": time.perf_counter() - began,
        "peak_bytes": peak_memory(),
        "parameters": settings.parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["compile", "steps"])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", action="append", choices=list(SHAPES))
    parser.add_argument("--float32", action="store_true")
    arguments = parser.parse_args()
    precision = "float32" if arguments.float32 else "bfloat16"
    names, seconds = arguments.only or list(SHAPES), arguments.seconds
    if arguments.what == "compile":
        print(json.dumps([steps_of(name, precision, 0.5) for name in names]))
        return
    from tinytx.fit.machine import measure_rates
    from tinytx.train.speed import machine_facts, set_up_torch

    threads = set_up_torch(Settings())
    rates = measure_rates(precision, threads)
    document: dict[str, Any] = {
        "machine": machine_facts(threads),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "rates": msgspec.to_builtins(rates, str_keys=True),
        "steps": [],
    }
    for name in names:
        document["steps"].append(steps_of(name, precision, seconds))
        print(json.dumps(document), flush=True)  # the last line has all


if __name__ == "__main__":
    main()
