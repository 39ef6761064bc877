"""Tiny sweeps: a small text, plans over it, and trials that are computed instead of trained."""

import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import torch

from tinytx.config import load_settings
from tinytx.measure.policy.budgets import load_budgets
from tinytx.sweep.inputs import Inputs
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Done, EpochEnd, Listen, Pace, Task
from tinytx.sweep.records import Record
from tinytx.sweep.space import load_space
from tinytx.sweep.watch import Watch
from tinytx.train.progress import Reporter

MakePlan = Callable[..., Plan]
SMALL = {
    "tokenizer.vocab_size": 300,
    "model.layers": 1,
    "model.width": 32,
    "model.pair_rows": 200,
    "model.heads": 2,
    "model.hidden": 24,
    "model.max_seq_length": 16,
    "training.epochs": 3,
    "training.batch_size": 8,
    "training.precision": "float32",
    "training.compile": "off",
    "training.threads": 1,
}


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """A trial in this process flushes them to zero; other tests need them back."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of about 12 kB."""
    source = random.Random(5)
    words = ["river", "stone", "garden", "lantern", "quiet", "morning", "niña", "café", "boat"]
    lines = [" ".join(source.choices(words, k=7)).capitalize() + "." for _ in range(280)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def template(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every sweep begins with: an empty database, and the small text prepared."""
    folder = tmp_path_factory.mktemp("template")
    optuna.storages.RDBStorage(f"sqlite:///{folder / 'sweep.db'}").remove_session()
    settings = load_settings(flags={**SMALL, "corpus.path": str(text_file)})
    Inputs(folder / "prepared", Reporter()).prepare(settings)
    return folder


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """An output directory that saves a test the second that the beginning takes."""
    return Path(shutil.copytree(template, tmp_path / "out"))


@pytest.fixture
def make_plan(text_file: Path) -> MakePlan:
    """A plan over the small text: ``make_plan("model.layers=1,2", trials=3)``."""

    def make(*searched: str, trials: int = 4, **changes: object) -> Plan:
        named = {key.replace("__", "."): value for key, value in changes.items()}
        flags = {**SMALL, "corpus.path": str(text_file), **named}
        return Plan(
            settings=load_settings(flags=flags, searching=True),
            space=load_space(searched or ["training.learning_rate=log:1e-3:1e-1"]),
            budgets=load_budgets(),
            trials=trials,
        )

    return make


class Follower(Watch):
    """Keeps everything that it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.records: list[Record] = []
        self.trained: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def began(self, number: int) -> None:
        self.trained.append(number)

    def ended(self, record: Record) -> None:
        self.records.append(record)


@pytest.fixture
def follower() -> Follower:
    return Follower()


class Formula:
    """Trains nothing: bits per byte are best at a learning rate of 0.01 and with many layers."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.at_start: Callable[[Task], None] = lambda task: None
        self.pace_ns = 1e9

    def __call__(self, task: Task, listen: Listen) -> Done:
        self.tasks.append(task)
        self.at_start(task)
        listen(Pace(self.pace_ns))
        rate = float(task.settings["training"]["learning_rate"])
        end = 1.0 + abs(math.log10(rate / 0.01)) / task.settings["model"]["layers"]
        epochs = int(task.settings["training"]["epochs"])
        for epoch in range(1, epochs + 1):
            listen(EpochEnd(epoch, end + 1.0 / epoch))
        (Path(task.folder) / "best_model.pt").write_bytes(b"weights")
        (Path(task.folder) / "training_metrics.json").write_text("{}")
        return Done(end + 1.0 / epochs, [0.5] * epochs, 1.0)


@pytest.fixture
def formula() -> Formula:
    return Formula()
