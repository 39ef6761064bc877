"""Trains many small models and exports each in all three precisions: what ``processors.py`` needs.

    python bench/many_bundles.py OUT                             # of the built-in corpus alone
    python bench/many_bundles.py OUT en.txt es.txt ja.txt        # and of these texts, in turn
    python bench/many_bundles.py OUT --take RUN                  # an output directory of `train`

Every text is trained in every shape, with a seed and a number of epochs of its own, eager and in
one thread. A quantised model is in the bundle whether it earns its place or not. A bundle that is
there already is left alone, so that the script may be stopped and started again.
"""

import argparse
import math
import shutil
from itertools import product
from pathlib import Path

from tinytx.cli.main import run
from tinytx.export import variants

SHAPES = {
    "2x80": [],
    "4x64": ["--layers=4", "--width=64", "--heads=2", "--hidden=128"],
    "3x128": ["--layers=3", "--width=128", "--heads=4", "--hidden=256", "--pair-rows=4096"],
    "5x160": [
        "--layers=5", "--width=160", "--heads=5", "--hidden=320", "--vocab-size=4096",
        "--pair-rows=0",
    ],
    "2x48": ["--width=48", "--hidden=96", "--vocab-size=640", "--pair-rows=2048"],
}  # fmt: skip
"""Layers x width; the first is the default. 5x160 has 4,096 pieces, 2x48 640, the others 2,048."""
LARGE = {
    "large": ["--layers=5", "--width=160", "--heads=5", "--hidden=432", "--vocab-size=4096"],
}
"""Made only when it is asked for: the larger size that servers are compared at, tables and all."""
BUILT_IN = ["--train-bytes=700000", "--val-bytes=70000"]
MOST_EPOCHS = 3
ALWAYS = ["--compile=off", "--threads=1", "--quiet"]


def export(run_folder: Path, bundle: Path) -> None:
    """The bundle of a training, every variant in it."""
    if run(["export", "--output-dir", str(run_folder), "--precision", "auto", "--quiet"]):
        raise SystemExit(f"{bundle.name} cannot be exported")
    shutil.copytree(run_folder / "bundle", bundle)


def train(bundle: Path, shape: list[str], text: Path | None, number: int, more: list[str]) -> None:
    """One short training; its folder is beside the bundle's until it is exported."""
    folder = bundle.with_name(f"{bundle.name}.run")
    corpus = BUILT_IN if text is None else [f"--corpus-path={text}"]
    epochs = 1 + number % MOST_EPOCHS
    words = ["train", *corpus, *shape, f"--seed={number}", f"--epochs={epochs}", *ALWAYS, *more]
    if run([*words, "--output-dir", str(folder)]):
        raise SystemExit(f"{bundle.name} cannot be trained")
    export(folder, bundle)
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the bundles")
    parser.add_argument("texts", type=Path, nargs="*", help="UTF-8 files, some 700 kB each")
    parser.add_argument("--take", type=Path, action="append", default=[], metavar="RUN")
    parser.add_argument("--only", action="append", choices=[*SHAPES, *LARGE], help="repeatable")
    parser.add_argument("--set", dest="more", action="append", default=[], metavar="A.B=C")
    options = parser.parse_args()
    variants.MOST_LOSS, variants.LEAST_GAIN = math.inf, -math.inf
    options.out.mkdir(parents=True, exist_ok=True)
    for folder in options.take:
        if not (bundle := options.out / f"2x80-{folder.name}").exists():
            export(folder, bundle)
    more = [f"--set={assignment}" for assignment in options.more]
    for number, (text, shape) in enumerate(product([None, *options.texts], SHAPES), 1):
        bundle = options.out / f"{shape}-{text.stem if text else 'stories'}"
        if not bundle.exists() and shape in (options.only or SHAPES):
            train(bundle, SHAPES[shape], text, number, more)
            print(bundle.name, flush=True)
    for shape in set(options.only or ()) & set(LARGE):
        if not (bundle := options.out / f"{shape}-stories").exists():
            train(bundle, LARGE[shape], None, 0, more)
            print(bundle.name, flush=True)


if __name__ == "__main__":
    main()
