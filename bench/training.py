"""Every figure of training in one command: speed, start-up, memory, and whole runs.

    python bench/training.py                       # speed, start-up, memory, beside others, 1 GB
    python bench/training.py --quick               # the same with fewer and shorter rounds, no 1 GB
    python bench/training.py --full TRAIN.txt VAL.txt       # and whole runs: 20 epochs as
                                     # fitted, the same without bfloat16, ten minutes and an hour
    python bench/training.py --tiny tinyshakespeare.txt     # and ten minutes on that text
    python bench/training.py --only speed --json

Speed: tokens per second of our trainer and of a plain PyTorch loop (``plain_training.py``) at
nanoGPT's sizes, in turns, each round in a fresh process; medians over the rounds' medians.
Start-up: from the command to the first step, the compiler's cache warm. Memory: the kernel's
high-water mark, over all processes alive at one time. Beside others: one program keeps a core busy.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import training_figures as measure

SHORT = ["--train-bytes", "400000", "--val-bytes", "60000", "--epochs", "1"]
COMPILED = ["--compile", "on"]  # as the defaults do in a run that is not as short as these
GOALS = {
    "nanogpt": ">= 3",
    "start": "< 10 s",
    "balanced": "<= 1000 MB",
    "low-memory": "<= 450 MB",
    "beside": ">= 0.40",
    "large": "<= 720 s, <= 600 MB",
    "full": "<= 600 s; bits per byte <= 1.58 with AMX, 1.61 with AVX-512 bfloat16",
    "held": "<= 600 s; bits per byte <= 1.66",
    "time": "bits per byte <= 1.53 with AMX",
    "hour": "bits per byte <= 1.48 with AMX",
    "tiny": "bits per byte <= 2.10",
}
PARTS = ("speed", "start", "memory", "beside", "large", "full", "held", "time", "hour", "tiny")


def table(figures: dict[str, Any]) -> list[str]:
    """One line per figure, its goal in brackets."""
    lines = []
    if found := figures.get("speed"):
        lines += _speed(found)
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
    if found := figures.get("beside"):
        quiet, busy = found["medians"]["quiet"], found["medians"]["busy"]
        lines.append(
            f"beside a busy program: {busy:,.0f} of {quiet:,.0f} tokens per second, "
            f"{found['ratio']:.2f} [{GOALS['beside']}]"
        )
    if found := figures.get("large"):
        lines.append(
            f"{found['bytes'] / 1e9:.2f} GB of text: first step after {found['seconds']:.0f} s, "
            f"peak {found['tree_peak_bytes'] / 1e6:.0f} MB in all processes, the trainer "
            f"{found['peak_bytes'] / 1e6:.0f} [{GOALS['large']}]"
        )
    lines += [_whole(name, figures[name]) for name in RUNS if name in figures]
    return lines


RUNS = {
    "full": "as fitted to 20 epochs in 600 s",
    "held": "the same without bfloat16",
    "time": "--time 10m",
    "hour": "--time 60m",
    "tiny": "ten minutes for a board that loads float32, the other text",
}


def _speed(found: dict[str, Any]) -> list[str]:
    ours, plain = found["medians"]["ours"], found["medians"]["plain"]
    low, high = min(found["ratios"]), max(found["ratios"])
    return [
        f"tokens per second, {found['precision']}, compiled {found['compiled']}: {ours:,.0f}",
        f"a plain PyTorch loop: {plain:,.0f}",
        f"ratio: {found['ratio']:.2f} ({low:.2f} to {high:.2f})",
        f"nanoGPT's best form, taken as {measure.NANOGPT:.2f} of the plain loop: ratio "
        f"{found['ratio'] / measure.NANOGPT:.2f} [{GOALS['nanogpt']}]",
    ]


def _whole(name: str, found: dict[str, Any]) -> str:
    verdicts = [f"{row['name']} {row['verdict']}" for row in found["budgets"]]
    return (
        f"{RUNS[name]}: {found['epochs']} epochs in {found['seconds']:.0f} s, "
        f"{found['parameters']:,} weights, {found['bits_per_byte']:.4f} bits per byte at epoch "
        f"{found['best_epoch']}, peak {found['tree_peak_bytes'] / 1e6:.0f} MB, "
        f"{', '.join(verdicts)} [{GOALS[name]}]"
    )


def wanted(arguments: argparse.Namespace) -> list[str]:
    """The parts that were asked for, or those that need no text."""
    if arguments.only:
        return list(arguments.only)
    parts = ["speed", "start", "memory", "beside"]
    parts += [] if arguments.quick else ["large"]
    parts += ["full", "held", "time", "hour"] if arguments.full else []
    return parts + (["tiny"] if arguments.tiny else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--full", nargs=2, metavar=("TRAIN", "VAL"), help="and whole runs")
    parser.add_argument("--tiny", metavar="TEXT", help="and a small text, its last tenth held out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    texts, rounds, seconds = arguments.full or (), *((2, 8.0) if arguments.quick else (5, 20.0))
    if not texts and {"full", "held", "time", "hour"} & set(arguments.only or ()):
        parser.error("whole runs need --full TRAIN VAL")
    if not arguments.tiny and "tiny" in (arguments.only or ()):
        parser.error("--only tiny needs --tiny TEXT")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "speed": lambda: measure.speed(rounds, seconds),
        "start": lambda: measure.start_up([*SHORT, *COMPILED]),
        "memory": lambda: {
            "balanced": measure.memory("balanced", [*SHORT, *COMPILED]),
            "low-memory": measure.memory("low-memory", SHORT),
        },
        "beside": lambda: measure.beside(seconds / 2),
        "large": measure.large,
        "full": lambda: measure.whole_run(*texts),
        "held": lambda: measure.whole_run(*texts, environment=measure.WITHOUT_BFLOAT16),
        "time": lambda: measure.whole_run(*texts, ["--time", "10m"]),
        "hour": lambda: measure.whole_run(*texts, ["--time", "60m"]),
        "tiny": lambda: measure.tiny(arguments.tiny),
    }
    figures = {name: parts[name]() for name in PARTS if name in wanted(arguments)}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(table(figures)))


if __name__ == "__main__":
    main()
