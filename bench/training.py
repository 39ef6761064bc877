"""Every figure of training in one command: speed, start-up, memory, and a whole run.

    python bench/training.py                       # speed, start-up, memory
    python bench/training.py --quick               # the same with fewer and shorter rounds
    python bench/training.py --full TRAIN.txt VAL.txt       # and 20 epochs of the defaults
    python bench/training.py --only speed --json

Speed: tokens per second of our trainer and of a plain PyTorch loop (``plain_training.py``) at
nanoGPT's sizes, in turns, each round in a fresh process; medians over the rounds' medians. The
speed of nanoGPT itself is that of the plain loop times a ratio that was measured once.
Start-up: from the command to the first step, the compiler's cache warm. Memory: the kernel's
high-water mark, over all processes alive at one time.
"""

import argparse
import json
import statistics
import sys
import tempfile
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
SHORT = ["--train-bytes", "400000", "--val-bytes", "60000", "--epochs", "1"]
COMPILED = ["--compile", "on"]  # as the defaults do in a run that is not as short as these
NANOGPT = 13_259 / 11_346
"""nanoGPT's best form (bfloat16, compiled) against the plain loop, tokens per second of one sitting
on two cores with AMX: its code is not ours to ship, so its speed is taken from the plain loop's."""
GOALS = {
    "ratio": ">= 2.5 on AVX2",
    "nanogpt": ">= 3",
    "start": "< 10 s",
    "balanced": "<= 1000 MB",
    "low-memory": "<= 450 MB",
}


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


def whole_run(corpus: str, val: str) -> dict[str, Any]:
    """20 epochs of the default configuration, from the command to best_model.pt."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        files = ["--corpus-path", corpus, "--val-path", val]
        found = checked(run([*TINYTX, "train", "--output-dir", str(out), "--epochs", "20", *files]))
        metrics = json.loads((out / "training_metrics.json").read_bytes())
        size = (out / "best_model.pt").stat().st_size
    return {
        "seconds": found.seconds,
        "bits_per_byte": min(epoch["val_bits_per_byte"] for epoch in metrics["epochs"]),
        "best_epoch": metrics["best_epoch"],
        "tree_peak_bytes": found.tree_peak_bytes,
        "checkpoint_bytes": size,
        "budgets": metrics["budgets"],
    }


def checked(found: Run) -> Run:
    if found.code:
        raise SystemExit(f"a run ended with {found.code}:\n{found.output}")
    return found


def table(figures: dict[str, Any]) -> list[str]:
    """One line per figure, its goal in brackets."""
    lines = []
    if found := figures.get("speed"):
        ours, plain = found["medians"]["ours"], found["medians"]["plain"]
        low, high = min(found["ratios"]), max(found["ratios"])
        lines += [
            f"tokens per second, {found['precision']}, compiled {found['compiled']}: {ours:,.0f}",
            f"a plain PyTorch loop: {plain:,.0f}",
            f"ratio: {found['ratio']:.2f} ({low:.2f} to {high:.2f}) [{GOALS['ratio']}]",
            f"nanoGPT's best form, {NANOGPT:.2f} times that loop: {plain * NANOGPT:,.0f}",
            f"ratio: {found['ratio'] / NANOGPT:.2f} ({low / NANOGPT:.2f} to {high / NANOGPT:.2f}) "
            f"[{GOALS['nanogpt']}]",
        ]
    if found := figures.get("start"):
        lines.append(f"first start to first step: {found['first']:.1f} s")
        lines.append(f"second start: {found['second']:.1f} s [{GOALS['start']}]")
    for preset, found in figures.get("memory", {}).items():
        peak, own = found["tree_peak_bytes"] / 1e6, found["peak_bytes"] / 1e6
        count = found["processes"]
        lines.append(
            f"peak memory, {preset}: {peak:.0f} MB in {count} processes, the trainer {own:.0f} "
            f"[{GOALS[preset]}]"
        )
    if found := figures.get("full"):
        verdicts = [f"{row['name']} {row['verdict']}" for row in found["budgets"]]
        lines.append(
            f"20 epochs: {found['seconds']:.0f} s, {found['bits_per_byte']:.4f} bits per byte at "
            f"epoch {found['best_epoch']}, peak {found['tree_peak_bytes'] / 1e6:.0f} MB, "
            f"{', '.join(verdicts)}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", action="append", choices=["speed", "start", "memory", "full"])
    parser.add_argument("--full", nargs=2, metavar=("TRAIN", "VAL"), help="and 20 epochs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    wanted = arguments.only or ["speed", "start", "memory", *(["full"] if arguments.full else [])]
    rounds, seconds = (2, 8.0) if arguments.quick else (5, 20.0)
    figures: dict[str, Any] = {}
    if "speed" in wanted:
        figures["speed"] = speed(rounds, seconds)
    if "start" in wanted:
        figures["start"] = start_up([*SHORT, *COMPILED])
    if "memory" in wanted:
        figures["memory"] = {
            "balanced": memory("balanced", [*SHORT, *COMPILED]),
            "low-memory": memory("low-memory", SHORT),
        }
    if "full" in wanted and arguments.full:
        figures["full"] = whole_run(*arguments.full)
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(table(figures)))


if __name__ == "__main__":
    main()
