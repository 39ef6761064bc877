"""Small settings, texts, token streams and jobs, and a reporter that remembers what it was told."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from ctypes import CDLL
from pathlib import Path

import numpy as np
import pytest
import torch

from tinytx.config import Settings, TokenizerSettings, load_settings, settings_from
from tinytx.tokenizer import Tokenizer
from tinytx.train import native
from tinytx.train.job import make_job
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.tokenizing import train_tokenizer
from tinytx.train.trainer import Job
from tinytx.workspace import Workspace

MakeSettings = Callable[..., Settings]
MakeJob = Callable[..., Job]


class Recorder(Reporter):
    """Keeps everything; calls ``at_step(report)`` and ``at_note(text)`` where they are set."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps: list[StepReport] = []
        self.at_step: Callable[[StepReport], None] = lambda report: None
        self.at_note: Callable[[str], None] = lambda text: None

    def phase(self, number: int, name: str) -> None:
        self.phases.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.at_note(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def step(self, report: StepReport) -> None:
        self.steps.append(report)
        self.at_step(report)


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """A job flushes them to zero on this thread; other tests need them back."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, whatever test ran before."""
    torch.set_num_threads(1)


@pytest.fixture
def make_settings() -> MakeSettings:
    """Settings of a model that trains in a second; change any with section__key=value."""

    def make(**changes: object) -> Settings:
        small = {
            "tokenizer.vocab_size": 300,
            "model.layers": 2,
            "model.width": 32,
            "model.pair_rows": 200,
            "model.heads": 2,
            "model.hidden": 40,
            "model.max_seq_length": 16,
            "training.epochs": 2,
            "training.batch_size": 4,
            "training.precision": "float32",
            "training.compile": "off",
            "training.threads": 1,
        }
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return load_settings(flags={**small, **named})

    return make


@pytest.fixture
def make_job_in(tmp_path: Path) -> MakeJob:
    """A job on a stream of tokens in which each follows from the one before it, mostly."""

    def make(
        settings: Settings, folder: str = "out", tokens: int = 700, state: dict | None = None
    ) -> Job:
        space = Workspace(tmp_path / folder)
        if not space.val_tokens.exists():  # the last that is written
            _write_inputs(space, settings.tokenizer.vocab_size, tokens)
        hashes = {"train_text": "a" * 64, "val_text": "b" * 64, "tokenizer": "c" * 64}
        return make_job(settings, space, hashes, state)

    return make


def _write_inputs(space: Workspace, vocab_size: int, tokens: int) -> None:
    source = np.random.default_rng(3)
    noise = source.integers(0, vocab_size, tokens)
    stream = np.where(source.random(tokens) < 0.1, noise, np.cumsum(np.full(tokens, 7)) % 50)
    for folder in ("corpus", "tokens"):
        (space.root / folder).mkdir(parents=True, exist_ok=True)  # after a kill
    space.train_text.write_text("t" * tokens)
    space.val_text.write_text("v" * (tokens // 4))
    stream.astype("<u2").tofile(space.train_tokens)
    stream[: tokens // 4].astype("<u2").tofile(space.val_tokens)


@pytest.fixture(scope="session")
def story_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of about 30 kB with accents, an emoji, tabs and empty lines."""
    source = random.Random(11)
    words = ["el", "niño", "comió", "pan", "under", "the", "old", "bridge", "señora", "café"]
    words += ["whistling", "42", "naïve", "moon"]
    lines = [" ".join(source.choices(words, k=source.randint(3, 9))) + "." for _ in range(900)]
    lines[100], lines[200], lines[300] = "", "\tan indented line 🙂", "  two  spaces  "
    path = tmp_path_factory.mktemp("story") / "story.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(story_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer of 320 pieces, trained on the story."""
    target = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    train_tokenizer(story_file, TokenizerSettings(vocab_size=320), target)
    return Tokenizer.load(target)


@pytest.fixture
def finished(tiny_run: Path, tmp_path: Path) -> Workspace:
    """A finished output directory that may be changed."""
    root = tmp_path / "finished"
    shutil.copytree(tiny_run, root, ignore=shutil.ignore_patterns("bundle"))
    (root / "stamps" / "export.json").unlink(missing_ok=True)
    return Workspace(root)


@pytest.fixture
def finished_settings(finished: Workspace) -> Settings:
    """The settings that the finished run was made with."""
    return settings_from(json.loads(finished.metrics.read_bytes())["config"], "the fixture")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> CDLL:
    """The library of our own kernels, built once for all tests of a process."""
    try:
        return native.load(tmp_path_factory.mktemp("kernels"))
    except native.CannotBuild as error:
        pytest.skip(f"no kernels can be built here: {error}")
