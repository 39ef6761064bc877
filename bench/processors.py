"""How far apart are the logits of one bundle on different processors?

    python bench/processors.py out/* \\
        --on "cortex-a72=qemu-aarch64 -L ROOT -cpu cortex-a72 ROOT/usr/bin/python3.11" \\
        --on "Nehalem=qemu-x86_64 -cpu Nehalem python3" --path cortex-a72=SITE

``--on NAME=COMMAND`` says how to begin a Python there, ``--path NAME=FOLDERS`` where it finds
numpy, onnxruntime and the others (PYTHONPATH). Everything is compared with this machine, over every
step of the golden outputs of every model in each bundle. The columns, in nats, are the most over
all steps:

- raw: of the 32 means that a fingerprint is made of;
- centred: of the same less the mean over the vocabulary, which is what `tinytx verify` compares;
- probability: of the same means of log-probabilities;
- last: centred, at those steps alone whose fingerprint a bundle holds;
- share, last_share: centred and last as shares of how far the fingerprints that a bundle holds
  spread, which is how `tinytx verify` limits them;
- logit: of one logit less the mean;
- behind: how far the best token here is behind the best one there;
- turned: steps that are no near-tie where another token is the best there.

Bundles come from ``many_bundles.py``. `docs/processors.md` has the result.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from processors_worker import cases_of

from tinytx.bundle import GRAPHS, Bundle, GoldenCase, Precision
from tinytx.runtime.golden import FINGERPRINT, NEAR_TIES

ROOT = Path(__file__).parents[1]
MOST = ["raw", "centred", "probability", "last", "share", "last_share", "logit", "behind"]
SUMS = ["steps", "turned"]
Row = dict[str, object]
Floats = NDArray[np.float64]


def record(command: list[str], path: str, bundles: list[Path], each: int, folder: Path) -> None:
    """Every model's logits, by the Python that ``command`` begins."""
    places = [place for place in (path, str(ROOT)) if place]
    environment = {**os.environ, "PYTHONPATH": ":".join(places), "ORT_DISABLE_TELEMETRY": "1"}
    worker = [*command, "-P", str(ROOT / "bench/processors_worker.py"), str(folder), str(each)]
    subprocess.run([*worker, *map(str, bundles)], check=True, env=environment)


def groups(rows: Floats) -> Floats:
    """The means of every 32nd column, [steps, 32]: a fingerprint of each step."""
    count = min(FINGERPRINT, rows.shape[1])
    return np.stack([rows[:, i::FINGERPRINT].mean(axis=1) for i in range(count)], axis=1)


def log_probabilities(rows: Floats) -> Floats:
    peak = rows.max(axis=1, keepdims=True)
    total: Floats = np.log(np.exp(rows - peak).sum(axis=1, keepdims=True)) + peak
    return rows - total


def compare(
    cases: list[GoldenCase], precision: Precision, here: Floats, there: Floats
) -> dict[str, float]:
    """One line of the result."""
    apart = there - here  # [steps, V]
    centred = apart - apart.mean(axis=1, keepdims=True)
    last = np.cumsum([len(case.tokens) for case in cases]) - 1
    best = here.argmax(axis=1)
    behind = there.max(axis=1) - there[np.arange(len(there)), best]
    second, first = np.partition(here, -2, axis=1)[:, -2:].T
    clear = first - second >= NEAR_TIES[precision]
    most = {
        "raw": groups(apart),
        "centred": groups(centred),
        "probability": groups(log_probabilities(there) - log_probabilities(here)),
        "last": groups(centred)[last],
        "logit": centred,
        "behind": behind,
    }
    figures = {name: float(np.abs(values).max()) for name, values in most.items()}
    figures["raw_last"] = float(np.abs(groups(apart)[last]).max())
    recorded = groups(here - here.mean(axis=1, keepdims=True))[last]
    spread = float(np.sqrt(np.mean(recorded**2)))
    figures["share"], figures["last_share"] = figures["centred"] / spread, figures["last"] / spread
    return {**figures, "turned": int(((behind > 0) & clear).sum()), "steps": len(here)}


def most(rows: list[Row], name: str) -> str:
    return f"{max(float(str(row[name])) for row in rows):.2g}"


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def tables(rows: list[Row]) -> str:
    """Raw and centred by precision, shape and processor; all figures by precision and processor."""
    kept: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        kept[str(row["precision"]), str(row["shape"]), str(row["processor"])].append(row)
    processors = list(dict.fromkeys(str(row["processor"]) for row in rows))
    precisions = [name for name in GRAPHS if any(key[0] == name for key in kept)]
    shapes = sorted({key[1] for key in kept})
    first, second = [], []
    for precision in precisions:
        for shape in shapes:
            groups = [kept[precision, shape, processor] for processor in processors]
            count = len({str(row["bundle"]) for group in groups for row in group})
            pairs = [f"{most(g, 'raw')}, {most(g, 'centred')}" if g else "" for g in groups]
            first.append([precision, shape, str(count), *pairs])
        for processor in processors:
            group = [row for shape in shapes for row in kept[precision, shape, processor]]
            steps, turned = (sum(int(str(row[key])) for row in group) for key in SUMS)
            figures = [most(group, name) for name in MOST]
            counts = [str(len(group)), f"{steps:,}"]
            second.append([precision, processor, *counts, *figures, str(turned)])
    return "\n\n".join(
        [
            markdown(["precision", "shape", "bundles", *processors], first),
            markdown(["precision", "processor", "bundles", SUMS[0], *MOST, SUMS[1]], second),
        ]
    )


def measure(
    bundles: list[Path], processors: dict[str, str], paths: dict[str, str], each: int
) -> list[Row]:
    """One row for each bundle, precision and processor."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        ours.mkdir()
        record([sys.executable], os.environ.get("PYTHONPATH", ""), bundles, each, ours)
        for processor, command in processors.items():
            theirs.mkdir(exist_ok=True)
            record(shlex.split(command), paths.get(processor, ""), bundles, each, theirs)
            for number, path in enumerate(bundles):
                bundle = Bundle(path)
                shape = f"{bundle.manifest.model.layers}x{bundle.manifest.model.width}"
                for precision in bundle.manifest.precisions:
                    file = f"{number}.{precision}.npy"
                    both = [np.load(folder / file).astype(np.float64) for folder in (ours, theirs)]
                    figures = compare(cases_of(bundle, precision)[::each], precision, *both)
                    facts = {"bundle": str(path), "shape": shape, "precision": precision}
                    rows.append({**facts, "processor": processor, **figures})
                    (theirs / file).unlink()
            print(f"{processor}: {len(bundles)} bundles", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--on", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--path", action="append", default=[], metavar="NAME=FOLDERS")
    parser.add_argument("--each", type=int, default=1, help="2: each second prompt alone")
    parser.add_argument("--json", action="store_true", help="every row, and no table")
    parser.add_argument("--rows", type=Path, nargs="*", default=[], help="what --json gave before")
    options = parser.parse_args()
    processors = dict(text.split("=", 1) for text in options.on)
    paths = dict(text.split("=", 1) for text in options.path)
    rows = [row for path in options.rows for row in json.loads(path.read_bytes())]
    rows += measure(options.bundles, processors, paths, options.each) if options.bundles else []
    print(json.dumps(rows, indent=1) if options.json else tables(rows))


if __name__ == "__main__":
    main()
