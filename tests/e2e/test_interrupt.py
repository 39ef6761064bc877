"""Ctrl-C, SIGTERM and SIGKILL in every phase: nothing finished is lost, and training goes on."""

import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.cli.main import run
from tinytx.train import checkpoint
from tinytx.train.metrics import read_metrics
from tinytx.workspace import Workspace

Start = Callable[..., Any]  # see conftest.py
Texts = dict[str, Path]


def stop(watched: Any, words: str, number: int) -> str:
    """Signal a process once it has said these words; it must end as interrupted."""
    watched.wait_for(words)
    watched.process.send_signal(number)
    assert watched.end() == 130, watched.text
    assert "Traceback" not in watched.text
    assert "tinytx: interrupted" in watched.text
    return str(watched.text)


def section(text: str, phase: str) -> str:
    """What a run said in one phase."""
    return text.partition(f"] {phase}\n")[2].partition("/5] ")[0]


@pytest.mark.long
def test_a_run_that_is_stopped_in_each_phase_in_turn_loses_nothing_and_ends_well(
    start: Start, texts: Texts, model_flags: list[str], tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "out")
    base = ["train", "--output-dir", str(space.root), "--val-path", str(texts["long_val"])]
    base += [*model_flags, "--epochs", "3"]
    ours = [*base, "--corpus-path", str(texts["train"])]

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/text"
        stop(start(*base, "--corpus-url", url), "[2/5] corpus", signal.SIGTERM)
    assert not space.train_text.exists()

    stop(start(*ours), "[3/5] tokenizer", signal.SIGINT)
    corpus = space.train_text.read_bytes(), space.val_text.read_bytes()

    said = stop(start(*ours), "epoch 1/3", signal.SIGTERM)
    assert "skipped: unchanged" in section(said, "corpus")
    assert space.last_checkpoint.exists()
    assert not space.final_model.exists()
    tokenizer = space.tokenizer.read_bytes()
    run_id = read_metrics(space.metrics).run_id

    said = stop(start(*ours, "--resume"), "[5/5] validation", signal.SIGINT)
    assert "skipped: unchanged" in section(said, "tokenizer")
    assert "resuming in epoch" in section(said, "training")
    metrics = read_metrics(space.metrics)
    assert metrics.run_id == run_id
    assert [epoch.epoch for epoch in metrics.epochs] == [1, 2, 3]
    assert metrics.interruptions == 1
    models = space.best_model.read_bytes(), space.final_model.read_bytes()

    last = start(*ours)
    assert last.end() == 0, last.text
    for phase in ("corpus", "tokenizer", "training"):
        assert "skipped: " in section(last.text, phase), last.text
    assert (space.train_text.read_bytes(), space.val_text.read_bytes()) == corpus
    assert space.tokenizer.read_bytes() == tokenizer
    assert (space.best_model.read_bytes(), space.final_model.read_bytes()) == models
    assert not list(space.root.rglob("*.tmp"))


@pytest.mark.long
def test_a_run_that_is_killed_ends_with_the_weights_of_an_undisturbed_one(
    start: Start, texts: Texts, model_flags: list[str], tmp_path: Path
) -> None:
    flags = ["--corpus-path", str(texts["train"]), "--val-path", str(texts["val"])]
    flags += [*model_flags, "--epochs", "5"]
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    assert run(["train", "--output-dir", str(whole.root), *flags, "--quiet"]) == 0
    moments = random.Random()
    watched = start("train", "--output-dir", str(killed.root), *flags)
    watched.wait_for("epoch 2/5")
    time.sleep(moments.uniform(0.0, 0.1))
    watched.process.kill()
    watched.end()
    assert not killed.final_model.exists(), "it was too quick to be killed"
    checkpoint.load(killed.last_checkpoint)  # whole, whatever the moment
    last = start("train", "--output-dir", str(killed.root), *flags, "--resume")
    assert last.end() == 0, last.text
    for name in ("final_model", "best_model"):
        ours, theirs = (checkpoint.load(getattr(s, name))["model"] for s in (killed, whole))
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    histories = [
        [(e.train_loss, e.val_loss) for e in read_metrics(space.metrics).epochs]
        for space in (killed, whole)
    ]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 5
    assert not list(killed.root.rglob("*.tmp"))
