"""Every figure of the runtime in one command: speed against plain ONNX graphs, memory, start.

    python bench/runtime.py data/bundle            # float32 and the default model, a table
    python bench/runtime.py data/bundle --json     # the same as one JSON document
    python bench/runtime.py data/bundle --precision int8    # that model alone
    python bench/runtime.py data/bundle --quick    # does it run to its end? figures not to quote

Speed is measured on the bundle's own graph, and on a model of the same sizes with random weights
and a context of 512 tokens where the bundle's is shorter. Two graphs are compared with, both run
with dictionaries of arrays and onnxruntime's default options, both with a cache that grows by
concatenation: one written by hand in standard operators (the leaner, so goals are held against
it), and, where there is PyTorch, one traced by ``torch.onnx.export``, as most people have.
Comparisons are interleaved: one round of the engine, one of each graph, and so on; figures are
medians over the rounds, by the clock and in processor time (which other programs disturb less).
The other figures come from fresh processes.
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from plain_graph import PlainEngine, Weights, build_plain_graph

from tinytx import bundle as bundles
from tinytx.bundle import GOLDEN, GRAPHS, TOKENIZER, Bundle, Golden, ModelFacts, Precision
from tinytx.export.graph import GraphBuilder, build_graph
from tinytx.export.quantize import RECIPES, QuantisedBuilder
from tinytx.runtime.engine import Engine
from tinytx.runtime.processor import default_precision

PROMPT = 16
LONG_CONTEXT = 512
LAST_POSITION = 416
BIN = 32  # positions that share one p95 of a run
MB = 1_000_000
GOALS: dict[Precision, tuple[str, str]] = {
    "float32": (">= 2.9", "<= 60"),
    "int8": (">= 4.6", "<= 55"),
    "int4": (">= 4.6", "<= 55"),
}
"""Speed against the plain graph, and resident MB."""
WORKER = Path(__file__).with_name("runtime_worker.py")


class Model(Protocol):
    def reset(self) -> None: ...
    def append(self, ids: list[int], /) -> Any: ...


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    goal: str = ""


def random_weights(facts: ModelFacts, seed: int = 1) -> Weights:
    """Weights of a model of these sizes, named as in a checkpoint."""
    random = np.random.default_rng(seed)
    width, hidden = facts.width, facts.hidden

    def matrix(rows: int, columns: int) -> np.ndarray[Any, Any]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    one = np.ones(width, np.float32)
    weights = {"embedding.weight": matrix(facts.vocab_size, width), "norm.weight": one}
    if facts.pair_rows:
        weights["pairs.weight"] = matrix(facts.pair_rows, width)
    for i in range(facts.layers):
        weights |= {
            f"blocks.{i}.embedding.weight": matrix(facts.vocab_size, width),
            f"blocks.{i}.attention_norm.weight": one,
            f"blocks.{i}.attention.qkv.weight": matrix(3 * width, width),
            f"blocks.{i}.attention.out.weight": matrix(width, width),
            f"blocks.{i}.mlp_norm.weight": one,
            f"blocks.{i}.mlp.gate_up.weight": matrix(2 * hidden, width),
            f"blocks.{i}.mlp.down.weight": matrix(width, hidden),
        }
    return weights


def long_bundle(source: Bundle, folder: Path, precision: Precision) -> Path:
    """A bundle of the same sizes with random weights and a context of 512 tokens."""
    facts = msgspec.structs.replace(source.manifest.model, max_seq_length=LONG_CONTEXT)
    quantised = precision in RECIPES
    builder = QuantisedBuilder(facts, RECIPES[precision]) if quantised else GraphBuilder(facts)
    files = {
        GRAPHS[precision]: build_graph(random_weights(facts), facts, builder).SerializeToString(),
        TOKENIZER: source.read_file(TOKENIZER),
        GOLDEN: bundles.encode(Golden(schema=bundles.SCHEMA, cases=[])),
    }
    folder.mkdir()
    manifest = msgspec.structs.replace(source.manifest, model=facts, precision=precision)
    bundles.write(folder, manifest, files)
    return folder


def token_times(model: Model, last: int) -> list[tuple[float, float]]:
    """Microseconds of each greedy token at the context lengths from 16 to ``last``.

    By the clock, and of this thread on a processor: what other programs take is not in that. The
    latter is asked of the kernel, in 1 us or more, and so outside of what the clock measures.
    """
    model.reset()
    token = int(model.append(list(range(PROMPT))).argmax())
    times = []
    for _ in range(PROMPT, last):
        busy = time.thread_time_ns()
        start = time.perf_counter_ns()
        token = int(model.append([token]).argmax())
        end = time.perf_counter_ns()
        times.append(((end - start) / 1e3, (time.thread_time_ns() - busy) / 1e3))
    return times


def speed(
    folder: Path, rounds: int, threads: int, label: str, precision: Precision
) -> list[Figure]:
    """The engine on a bundle against the plain graph of the same sizes."""
    engine = Engine.load(folder, threads, precision)
    facts = engine.facts
    weights = random_weights(facts)
    plain = PlainEngine(facts, build_plain_graph(weights, facts).SerializeToString(), threads)
    last = min(LAST_POSITION, facts.max_seq_length)
    models: list[Model] = [engine, plain, *_traced(weights, facts, threads)]
    for model in models:  # warm-up
        token_times(model, last)
    rows = [[token_times(model, last) for model in models] for _ in range(rounds)]
    alone = np.array([token_times(engine, last) for _ in range(rounds)])  # caches not another's
    times = np.array(rows).swapaxes(0, 1)  # [models, rounds, positions, kinds]
    figures: list[Figure] = []
    kinds = ("", ", processor time") if threads == 1 else ("",)  # else the others' is not in it
    for kind, what in enumerate(kinds):
        ours, theirs, *traced = times[..., kind]
        title = label + what
        figures += _speed_figures(ours, theirs, alone[..., kind], title, GOALS[precision][0])
        for longer in traced:
            ratio = float(np.median(longer.mean(1)) / np.median(ours.mean(1)))
            figures.append(Figure(f"{title}: speed against the traced graph", ratio, "x"))
    return figures


def _traced(weights: Weights, facts: ModelFacts, threads: int) -> list[Model]:
    """The traced graph; none on a machine without PyTorch, such as a small board."""
    if importlib.util.find_spec("torch") is None:
        return []
    from traced_graph import build_traced_graph

    return [PlainEngine(facts, build_traced_graph(weights, facts), threads)]


def _speed_figures(
    ours: np.ndarray[Any, Any],
    theirs: np.ndarray[Any, Any],
    alone: np.ndarray[Any, Any],
    label: str,
    goal: str,
) -> list[Figure]:
    """Microseconds, [rounds, positions]; ``ours`` and ``theirs`` were interleaved."""
    mean, plain = float(np.median(ours.mean(1))), float(np.median(theirs.mean(1)))
    best = float(theirs.min(0).mean() / ours.min(0).mean())
    bins = alone[:, : alone.shape[1] // BIN * BIN].reshape(len(alone), -1, BIN)
    middle = np.median(bins, axis=2)  # [rounds, bins]
    spread = np.median(np.quantile(bins, 0.95, axis=2) / middle, axis=0)
    slope = float(np.median(middle[:, -1] / middle[:, 0]))
    return [
        Figure(f"{label}: next token", mean, "us"),
        Figure(f"{label}: next token, plain graph", plain, "us"),
        Figure(f"{label}: speed against the plain graph", plain / mean, "x", goal),
        Figure(f"{label}: the same, fastest round at each position", best, "x"),
        Figure(f"{label}: p95 against median, worst context", float(spread.max()), "x", "<= 1.3"),
        Figure(f"{label}: longest context against 16", slope, "x", "<= 1.5"),
    ]


def worker(*arguments: object) -> list[dict[str, int]]:
    """The last line that a fresh process prints."""
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    marks: list[dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return marks


def memory(folder: Path, rounds: int, label: str, precision: Precision) -> list[Figure]:
    """Resident memory after 400 tokens, and the peak of the whole process."""
    runs = [worker("generate", folder, 400, 400, precision)[0] for _ in range(rounds)]
    return [
        Figure(f"{label}: resident after 400 tokens", _mb(runs, "rss"), "MB", GOALS[precision][1]),
        Figure(f"{label}: peak, load included", _mb(runs, "peak"), "MB", "<= 75"),
    ]


def surroundings(folder: Path, rounds: int, precision: Precision) -> list[Figure]:
    """What the libraries hold without a model, and what the command line adds."""
    floors = [worker("floor", folder, 0, 1) for _ in range(rounds)]
    commands = [worker("cli", folder, 400, 1, precision)[0] for _ in range(rounds)]
    named = ("Python alone", "with numpy", "with onnxruntime")
    return [
        *(Figure(name, _mb([f[i] for f in floors], "rss"), "MB") for i, name in enumerate(named)),
        Figure("`tinytx generate`: resident after 400 tokens", _mb(commands, "rss"), "MB"),
        Figure("`tinytx generate`: peak", _mb(commands, "peak"), "MB"),
    ]


def _mb(runs: Sequence[dict[str, int]], key: str) -> float:
    return statistics.median(run[key] for run in runs) / MB


def growth(folder: Path, tokens: int, precision: Precision) -> list[Figure]:
    """By how much the resident set grows from the first tenth of a long generation to its end."""
    marks = worker("generate", folder, tokens, tokens // 10, precision)
    heap, resident = ((marks[-1][key] - marks[0][key]) / MB for key in ("anonymous", "rss"))
    return [
        Figure(f"{precision}: growth over {tokens:,} tokens", heap, "MB", "<= 0.5"),
        Figure(f"{precision}: the same with library pages that came back", resident, "MB"),
    ]


def seconds_until(command: list[str], enough: int) -> float:
    """From the start of a process until it has written ``enough`` bytes to stdout."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        seen = 0
        while seen < enough and (data := process.stdout.read1()):
            seen += len(data)
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken


def start_times(folder: Path, rounds: int, precision: Precision) -> list[Figure]:
    """``tinytx --help``, and from the start of the process to the first generated text."""
    program = shutil.which("tinytx", path=str(Path(sys.executable).parent)) or "tinytx"
    prompt = _prompt(Engine.load(folder), PROMPT)
    helping, first = (
        [program, "--help"],
        [program, "generate", str(folder), prompt, "--precision", precision],
    )
    runs: dict[str, Callable[[], float]] = {
        "help": lambda: seconds_until(helping, 1 << 30),
        "first": lambda: seconds_until([*first, "--seed", "1"], len(prompt.encode()) + 1),
    }
    times = {name: [1e3 * run() for _ in range(rounds)] for name, run in runs.items()}
    return [
        Figure("`tinytx --help`", statistics.median(times["help"]), "ms", "<= 150"),
        Figure("start to first token", statistics.median(times["first"]), "ms", "<= 400"),
    ]


def _prompt(engine: Engine, tokens: int) -> str:
    """Words that make a prompt of ``tokens`` tokens, the start token included."""
    text = "Once upon a time there was a little bird that lived in a garden near the river. " * 2
    return engine.tokenizer.decode(engine.tokenizer.encode(text)[: tokens - 1])


def measure(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """Every figure of the models asked for: float32 and the default one, or a single one."""
    source, rounds = Bundle(folder), options.rounds
    default = source.manifest.choose(options.precision or default_precision(source.manifest))
    chosen: list[Precision] = [default]
    if options.precision is None and default != "float32":
        chosen.insert(0, "float32")
    figures: list[Figure] = []
    for precision in chosen:
        label = f"bundle, {precision}"
        figures += speed(folder, rounds, options.threads, label, precision)
        figures += memory(folder, rounds, label, precision)
        if source.manifest.model.max_seq_length < LAST_POSITION:
            with tempfile.TemporaryDirectory() as temporary:
                longer = long_bundle(source, Path(temporary) / "bundle", precision)
                label = f"context {LONG_CONTEXT}, {precision}"
                figures += speed(longer, rounds, options.threads, label, precision)
                figures += memory(longer, rounds, label, precision)
    figures += surroundings(folder, rounds, default) + start_times(folder, rounds, default)
    for precision in chosen:
        figures += growth(folder, options.tokens, precision)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for figures to quote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100_000, help="of the growth run")
    parser.add_argument("--precision", choices=list(GRAPHS), help="default: float32 and what loads")
    parser.add_argument("--quick", action="store_true", help="1 round and 2,000 tokens, in seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.tokens = 1, 2_000
    figures = measure(options.bundle, options)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    width = max(len(figure.name) for figure in figures)
    for f in figures:
        print(f"{f.name:{width}}  {f.value:9.2f} {f.unit:3} {f.goal}".rstrip())


if __name__ == "__main__":
    main()
