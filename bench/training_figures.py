"""The figures of ``bench/training.py``, each measured in fresh processes."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fresh import Run, run

HERE = Path(__file__).parent
TINYTX = [sys.executable, "-c", "from tinytx.cli.main import main; main()"]
SIZES = {
    "tokenizer.vocab_size": 4_096,
    "model.layers": 6,
    "model.width": 128,
    "model.heads": 4,
    "model.pair_rows": 0,  # nanoGPT has no such table
    "model.hidden": 344,  # three matrices of SwiGLU as large as two of 4 x 128
    "model.max_seq_length": 128,
    "training.batch_size": 32,
}
NANOGPT = 13_259 / 11_346
"""nanoGPT's best form over the plain loop, tokens per second of one sitting (2026-11-29, 2 cores
with AMX, bfloat16, compiled): its code is not ours to carry along."""
WITHOUT_BFLOAT16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""What holds PyTorch to the instructions of an older processor."""
LARGE_BYTES = 1_000_000_000
STORIES_BYTES = 10_000_000


def speed(rounds: int, seconds: float) -> dict[str, Any]:
    """Ours and the plain loop in turns; the ratio of each round, and of the medians."""
    sizes = [f"--set={key}={value}" for key, value in SIZES.items()]
    ours = [sys.executable, str(HERE / "our_training.py"), *sizes]
    plain = [sys.executable, str(HERE / "plain_training.py")]
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    facts: dict[str, Any] = {}
    for _ in range(rounds):
        for name, command in (("ours", ours), ("plain", plain)):
            found = checked(run([*command, "--seconds", str(seconds)]))
            document = json.loads(found.output.splitlines()[-1])
            rates[name].append(statistics.median(document.pop("tokens_per_second")))
            facts |= document
    ratios = [a / b for a, b in zip(rates["ours"], rates["plain"], strict=True)]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["ours"] / medians["plain"]
    return {**facts, "rounds": rates, "medians": medians, "ratios": ratios, "ratio": ratio}


def start_up(extra: list[str]) -> dict[str, Any]:
    """Seconds from the command to the first step: the second start on a corpus, and the first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*TINYTX, "train", "--output-dir", f"{folder}/out", *extra]
        first = checked(run(command))
        again = checked(run([*command, "--overwrite", "--seed", "2"]))
    return {"first": to_first_step(first), "second": to_first_step(again)}


def to_first_step(found: Run) -> float:
    """When the pipeline said that its first step begins."""
    for seconds, line in found.lines:
        if "before the first step" in line:
            return seconds
    raise SystemExit(f"no first step was announced:\n{found.output}")


def memory(preset: str, extra: list[str]) -> dict[str, Any]:
    """Peaks of a short run of a preset, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*TINYTX, "train", "--preset", preset, "--output-dir", f"{folder}/out"]
        found = checked(run([*command, *extra]))
    return {
        "peak_bytes": found.peak_bytes,
        "tree_peak_bytes": found.tree_peak_bytes,
        "processes": found.processes,
    }


def whole_run(
    corpus: str, val: str, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A run of ``tinytx train``, from the command to best_model.pt; without flags it fits the
    budget of 20 epochs in 600 s."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        files = ["--corpus-path", corpus, "--val-path", val]
        found = checked(
            run([*TINYTX, "train", "--output-dir", str(out), *flags, *files], environment)
        )
        metrics = json.loads((out / "training_metrics.json").read_bytes())
        size = (out / "best_model.pt").stat().st_size
    return {
        "seconds": found.seconds,
        "bits_per_byte": min(epoch["val_bits_per_byte"] for epoch in metrics["epochs"]),
        "best_epoch": metrics["best_epoch"],
        "epochs": len(metrics["epochs"]),
        "parameters": metrics["parameters"],
        "tree_peak_bytes": found.tree_peak_bytes,
        "checkpoint_bytes": size,
        "budgets": metrics["budgets"],
    }


def checked(found: Run) -> Run:
    if found.code:
        raise SystemExit(f"a run ended with {found.code}:\n{found.output}")
    return found


def beside(seconds: float, rounds: int = 3) -> dict[str, Any]:
    """Steps of the default shape on a quiet machine and beside one program that is always busy."""
    command = [sys.executable, str(HERE / "our_training.py"), "--seconds", str(seconds)]
    rates: dict[str, list[float]] = {"quiet": [], "busy": []}
    for _ in range(rounds):
        for name in rates:
            with busy_program(name == "busy"):
                found = checked(run(command))
            document = json.loads(found.output.splitlines()[-1])
            rates[name].append(statistics.median(document["tokens_per_second"]))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"rounds": rates, "medians": medians, "ratio": medians["busy"] / medians["quiet"]}


@contextmanager
def busy_program(wanted: bool) -> Iterator[None]:
    """Another program that keeps one core busy."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def tiny(text: str) -> dict[str, Any]:
    """Ten minutes for a model of a board that loads float32; the last tenth of a text held out."""
    content = Path(text).read_bytes()
    cut = len(content) * 9 // 10
    with tempfile.TemporaryDirectory() as folder:
        train, val = Path(folder, "train.txt"), Path(folder, "val.txt")
        train.write_bytes(content[:cut])
        val.write_bytes(content[cut:])
        return whole_run(str(train), str(val), ["--time", "10m", "--device", "pi-4"])


def large(least_bytes: int = LARGE_BYTES) -> dict[str, Any]:
    """Seconds and memory up to the first step over a gigabyte of shuffled built-in stories."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "large.txt")
        write_large(text, least_bytes)
        command = [*TINYTX, "train", "--preset", "balanced", "--corpus-path", str(text)]
        found = run([*command, "--output-dir", f"{folder}/out"], until="before the first step")
        size = text.stat().st_size
    return {
        "bytes": size,
        "seconds": to_first_step(found),
        "peak_bytes": found.peak_bytes,
        "tree_peak_bytes": found.tree_peak_bytes,
    }


def write_large(path: Path, least_bytes: int) -> None:
    """The built-in stories again and again, their paragraphs in another order each time and with a
    mark of their own, so that no line comes twice."""
    from tinytx.train.corpus.builtin import generate

    paragraphs = generate(1, STORIES_BYTES).text.split("\n\n")
    order, written, round_ = random.Random(1), 0, 0
    with path.open("w", encoding="utf-8") as file:
        while written < least_bytes:
            order.shuffle(paragraphs)
            text = "".join(f"[{round_}.{n}] {p}\n\n" for n, p in enumerate(paragraphs))
            written, round_ = written + len(text.encode()), round_ + 1
            file.write(text)
