"""Our training loop at given sizes, for ``bench/training.py``: steps of the real trainer.

    python bench/our_training.py --seconds 20 --set tokenizer.vocab_size=4096 --set model.layers=6

Random tokens. Prints JSON: tokens per second of each step after the first ones.
"""

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from tinytx.config import Settings, load_settings
from tinytx.train.job import make_job
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.trainer import Trainer
from tinytx.workspace import Workspace


class Enough(Exception):
    """Enough steps were seen."""


class Watch(Reporter):
    """Keeps the seconds between one step and the next."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.perf_counter() + seconds
        self.last = time.perf_counter()
        self.seconds: list[float] = []

    def step(self, report: StepReport) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        if now > self.deadline and len(self.seconds) >= 6:
            raise Enough


def measure(settings: Settings, seconds: float, folder: Path) -> dict[str, object]:
    """Train on random tokens until the time is over."""
    space = Workspace(folder)
    space.train_tokens.parent.mkdir(parents=True)
    space.train_text.parent.mkdir(parents=True)
    random = np.random.default_rng(1)
    for path, count in ((space.train_tokens, 4_000_000), (space.val_tokens, 20_000)):
        random.integers(0, settings.tokenizer.vocab_size, count).astype("<u2").tofile(path)
    for path in (space.train_text, space.val_text):
        path.write_text("text\n")
    job = make_job(
        settings, space, dict.fromkeys(("train_text", "val_text", "tokenizer"), ""), None
    )
    trainer = Trainer(job, Reporter())
    trainer.warm_up()
    trainer.reporter = watch = Watch(seconds)
    with contextlib.suppress(Enough):
        trainer.run()
    tokens = settings.training.batch_size * settings.model.max_seq_length
    machine = job.metrics.machine
    return {
        "tokens_per_second": [tokens / seconds for seconds in watch.seconds[3:]],
        "precision": machine["precision"],
        "compiled": machine["compiled"],
        "threads": machine["threads"],
        "parameters": settings.parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    arguments = parser.parse_args()
    settings = load_settings(assignments=arguments.assignments)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(settings, arguments.seconds, Path(folder) / "out")))


if __name__ == "__main__":
    main()
