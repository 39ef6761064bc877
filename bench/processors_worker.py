"""Every logit of the golden outputs of many bundles, as this processor computes them.

    python -P bench/processors_worker.py FOLDER EACH BUNDLE...

Runs under an emulator as well, so it imports nothing but the runtime. Writes
``FOLDER/NUMBER.PRECISION.npy``, [steps, V], for each model of each bundle: each golden prompt, or
each second (``EACH`` is 2) and so on, followed by the very tokens that the bundle holds, whatever
this processor would choose.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytx.bundle import Bundle, GoldenCase, Precision
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import prompt_ids


def cases_of(bundle: Bundle, precision: Precision) -> list[GoldenCase]:
    """The golden outputs of one model."""
    golden = bundle.golden()
    return golden.cases if precision == "float32" else golden.variants[precision]


def logits_of(engine: Engine, cases: list[GoldenCase]) -> NDArray[np.float32]:
    """[steps of all cases, V]"""
    rows = []
    for case in cases:
        engine.reset()
        pending = prompt_ids(engine, case.prompt)
        for token in case.tokens:
            rows.append(engine.append(pending))
            pending = [token]
    return np.stack(rows)


def main() -> None:
    folder, each = Path(sys.argv[1]), int(sys.argv[2])
    for number, path in enumerate(sys.argv[3:]):
        bundle = Bundle(Path(path))
        for precision in bundle.manifest.precisions:
            engine = Engine.load(bundle.folder, 1, precision)
            rows = logits_of(engine, cases_of(bundle, precision)[::each])
            np.save(folder / f"{number}.{precision}.npy", rows)


if __name__ == "__main__":
    main()
