"""The models of one bundle against each other: size, quality, speed, resident memory.

    python bench/precisions.py data/bundle

Speed is measured in turns within one process, one model after the other, round by round, so that
what disturbs the machine disturbs all of them; figures are medians over the rounds. Memory is
that of a fresh process per model after 400 tokens. See docs/decisions/0014.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from runtime import LAST_POSITION, MB, PROMPT, token_times, worker

from tinytx.bundle import GRAPHS, Bundle, Precision
from tinytx.runtime.engine import Engine

STEPS = 64  # tokens of one turn


def speeds(bundle: Bundle, rounds: int, threads: int) -> dict[Precision, list[tuple[float, float]]]:
    """Microseconds a token, by the clock and in processor time, one pair a round."""
    held = bundle.manifest.precisions
    engines = {name: Engine.load(bundle.folder, threads, name) for name in held}
    last = min(PROMPT + STEPS, LAST_POSITION, bundle.manifest.model.max_seq_length)
    times: dict[Precision, list[tuple[float, float]]] = {name: [] for name in held}
    for engine in engines.values():  # warm-up
        token_times(engine, last)
    for number in range(rounds):
        order = held if number % 2 == 0 else held[::-1]
        for name in order:
            clock, busy = np.median(token_times(engines[name], last), axis=0)
            times[name].append((float(clock), float(busy)))
    return times


def ratios(ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> list[float]:
    """How many times as fast as ``theirs``: by the clock and in processor time."""
    pairs = zip(ours, theirs, strict=True)
    both = [(b[0] / a[0], b[1] / a[1]) for a, b in pairs]
    return [statistics.median(one[kind] for one in both) for kind in (0, 1)]


def measure(bundle: Bundle, rounds: int, threads: int) -> list[dict[str, object]]:
    """One row per model."""
    times, rows = speeds(bundle, rounds, threads), []
    manifest = bundle.manifest
    for name in manifest.precisions:
        runs = [worker("generate", bundle.folder, 400, 400, name)[0] for _ in range(5)]
        clock, busy = ratios(times[name], times["float32"])
        quality = manifest.bits_per_byte(name)
        row = {
            "precision": name + (" (default)" if name == manifest.precision else ""),
            "bytes": manifest.files[GRAPHS[name]].size,
            "bits per byte": round(quality, 4),
            "loss %": round(100 * (quality / manifest.quality.bits_per_byte - 1), 2),
            "us a token": round(statistics.median(t[0] for t in times[name]), 1),
            "speed x": round(clock, 2),
            "speed x, processor time": round(busy, 2),
            "resident MB": round(statistics.median(r["rss"] for r in runs) / MB, 1),
            "peak MB": round(statistics.median(r["peak"] for r in runs) / MB, 1),
        }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(Bundle(options.bundle), options.rounds, options.threads)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("  ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
