"""Real processes that are watched line by line, and small file systems that fill up."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tinytx

PATIENCE_SECONDS = 120.0  # before a process that hangs is killed, and its test fails
MODEL = [
    "--batch-size", "8", "--vocab-size", "300", "--max-seq-length", "32",
    "--set", "model.layers=1", "--set", "model.width=32",
    "--set", "model.pair_rows=500", "--set", "model.heads=2",
    "--set", "model.hidden=32", "--set", "training.precision=float32",
    "--set", "training.compile=off", "--set", "training.threads=1",
    "--set", "training.dropout=0.1",
]  # fmt: skip


@dataclass
class Watched:
    """A running ``tinytx``, and what it has written to stderr so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for(self, words: str) -> None:
        """Read stderr until a line has these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError(f"it ended without saying {words!r}:\n{self.text}")

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        assert self.process.stderr is not None
        self.lines += self.process.stderr.readlines()
        return self.process.wait()

    @property
    def text(self) -> str:
        return "".join(self.lines)


Start = Callable[..., Watched]


@pytest.fixture
def model_flags() -> list[str]:
    """A model that trains in a second, with dropout: random numbers matter."""
    return MODEL


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``tinytx`` as a process of its own."""
    started: list[subprocess.Popen[str]] = []
    timers: list[threading.Timer] = []

    def begin(*arguments: str) -> Watched:
        home = str(Path(tinytx.__file__).parents[1])
        local = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tinytx.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **local, "PYTHONPATH": home},
        )
        started.append(process)
        timers.append(threading.Timer(PATIENCE_SECONDS, process.kill))
        timers[-1].start()
        return Watched(process)

    yield begin
    for process, timer in zip(started, timers, strict=True):
        timer.cancel()
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short text to train on, one to validate on, and one that takes a while to validate on."""
    source = random.Random(4)
    words = ["river", "stone", "garden", "lantern", "quiet", "morning", "señor", "niña", "café"]
    words += ["window", "yellow", "boat", "winter", "kitchen", "letter"]
    folder = tmp_path_factory.mktemp("texts")
    sizes = {"train": 600, "val": 60, "long_val": 7_000}
    for name, lines in sizes.items():
        sentences = (" ".join(source.choices(words, k=source.randint(4, 9))) for _ in range(lines))
        (folder / name).write_text("".join(f"{s}.\n" for s in sentences), encoding="utf-8")
    return {name: folder / name for name in sizes}
