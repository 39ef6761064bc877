"""Measures every preset in fresh processes, and prints the table of ``tinytx/presets.py``.

    python bench/presets.py                                  # on the built-in corpus
    python bench/presets.py --corpus TRAIN.txt --val VAL.txt --only low-memory --json
    python bench/presets.py --set training.epochs=1          # a trial of this script

Each preset is one run of ``tinytx train``, from the command to its end: seconds by the clock, the
kernel's high-water mark of memory (of the process, and of the sum over all processes alive at one
time), bits per byte of the held-out text.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fresh import Run, run

from tinytx.presets import PRESETS, Measured, Preset
from tinytx.train.speed import processor_name, usable_cores

TINYTX = [sys.executable, "-c", "from tinytx.cli.main import main; main()"]


def train(preset: Preset, extra: list[str], folder: Path) -> tuple[Run, dict[str, Any]]:
    """One run. Raises SystemExit with its output when it fails."""
    command = [*TINYTX, "train", "--preset", preset.name, "--output-dir", str(folder), *extra]
    found = run(command)
    if found.code:
        raise SystemExit(f"{preset.name} ended with {found.code}:\n{found.output}")
    return found, json.loads((folder / "training_metrics.json").read_bytes())


def measure(preset: Preset, extra: list[str]) -> Measured:
    """Train in a folder of its own, and judge the best epoch."""
    with tempfile.TemporaryDirectory() as folder:
        found, metrics = train(preset, extra, Path(folder) / "out")
    best = metrics["epochs"][metrics["best_epoch"] - 1]
    return Measured(
        seconds=round(found.seconds, 1),
        peak_bytes=found.tree_peak_bytes,
        parameters=metrics["parameters"],
        bits_per_byte=round(best["val_bits_per_byte"], 4),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--corpus", help="text to train on; else the built-in corpus")
    parser.add_argument("--val", help="text to validate on")
    parser.add_argument("--only", action="append", choices=list(PRESETS), help="repeatable")
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    extra = [f"--set={text}" for text in arguments.assignments]
    for flag, path in (("--corpus-path", arguments.corpus), ("--val-path", arguments.val)):
        extra += [flag, path] if path else []
    table = {}
    for name in arguments.only or PRESETS:
        table[name] = measure(PRESETS[name], extra)
        print(f"{name}: {table[name]}", file=sys.stderr, flush=True)
    where = f"{arguments.corpus or 'the built-in corpus'}, {usable_cores()} cores of a "
    where += processor_name()
    if arguments.json:
        rows = {name: asdict(measured) for name, measured in table.items()}
        print(json.dumps({"measured_on": where, "presets": rows}, indent=2))
        return
    print(f"MEASURED_ON = {where!r}")
    for name, measured in table.items():
        print(f"# {name}\n{measured!r}")


if __name__ == "__main__":
    main()
