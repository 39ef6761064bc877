"""The real torchrun: a process of two is killed on the way, and the result is the same."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tinytx
from tinytx.cli.main import run
from tinytx.train import checkpoint
from tinytx.train.metrics import read_metrics
from tinytx.workspace import Workspace

PATIENCE_SECONDS = 120.0


def processes_of(parent: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def rank_of(process: int) -> str:
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((e[5:].decode() for e in environment if e.startswith(b"RANK=")), "")


def torchrun(arguments: list[str], at: Callable[[int, str], None]) -> tuple[int, str]:
    """Two processes, up to three restarts; ``at(process, line)`` hears each line that is said."""
    module = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    home = str(Path(tinytx.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, *module, "--max-restarts", "3", "-m", "tinytx.cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": home, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )
    timer = threading.Timer(PATIENCE_SECONDS, process.terminate)
    timer.start()
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        at(process.pid, line)
    code = process.wait()
    timer.cancel()
    return code, "".join(lines)


@pytest.mark.long
def test_a_run_in_which_a_process_is_killed_ends_as_if_nothing_had_happened(
    texts: dict[str, Path], model_flags: list[str], side_by_side: Callable[..., Any], tmp_path: Path
) -> None:
    flags = ["train", "--corpus-path", str(texts["train"]), "--val-path", str(texts["val"])]
    flags += [*model_flags, "--epochs", "5"]
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    quiet = [*flags, "--quiet", "--output-dir", str(whole.root)]
    for one in side_by_side(lambda: run(quiet)):
        assert one.code == 0, one.said
    victims: list[int] = []

    def kill_the_second(parent: int, line: str) -> None:
        if "epoch 2/5" in line and not victims:
            victims.extend(p for p in processes_of(parent) if rank_of(p) == "1")
            os.kill(victims[0], signal.SIGKILL)

    code, said = torchrun([*flags, "--output-dir", str(killed.root)], kill_the_second)
    assert code == 0, said
    assert len(victims) == 1
    assert re.search(r"resuming in epoch [3-5], step", said), said
    assert said.count("epoch 5/5: ") == 1
    assert "bug in tinytx" not in said
    metrics = read_metrics(killed.metrics)
    assert metrics.interruptions == 1
    assert metrics.machine["processes"] == 2
    histories = [
        [(e.train_loss, e.val_loss) for e in read_metrics(space.metrics).epochs]
        for space in (killed, whole)
    ]
    assert len(histories[0]) == 5
    assert histories[0] == histories[1]
    for name in ("final_model", "best_model"):
        ours, theirs = (checkpoint.load(getattr(s, name))["model"] for s in (killed, whole))
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    assert not list(killed.root.rglob("*.tmp"))
