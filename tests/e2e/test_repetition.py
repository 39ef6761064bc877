"""The same weights again, bit for bit, in the form that users run: compiled, the default shape and
arithmetic, every core. In processes of their own, which share what the compiler has built."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx import compiler
from tinytx.train import checkpoint
from tinytx.train.metrics import read_metrics
from tinytx.workspace import Workspace

Start = Callable[..., Any]  # see conftest.py
CORES = len(os.sched_getaffinity(0))
SHORT = ["--train-bytes", "200000", "--val-bytes", "20000", "--epochs", "2"]  # of the built-in text
CALLS = 40

GRADIENTS = """
import hashlib, json, sys
import torch
from tinytx.config import settings_from
from tinytx.train.job import input_hashes, make_job
from tinytx.train.progress import Reporter
from tinytx.train.trainer import Trainer
from tinytx.workspace import Workspace

space = Workspace(__import__("pathlib").Path(sys.argv[1]))
settings = settings_from(json.loads(space.metrics.read_bytes())["config"], "the run")
trainer = Trainer(make_job(settings, space, input_hashes(space), None), Reporter())
batch = trainer.batch_of(trainer.order_of(0), 0)
random, found = torch.get_rng_state(), set()
for _ in range(int(sys.argv[2])):
    torch.set_rng_state(random)
    trainer.loss_of(*batch).backward()
    digest = hashlib.sha256()
    for parameter in trainer.model.parameters():
        digest.update(parameter.grad.numpy().tobytes())
    found.add(digest.hexdigest())
    trainer.model.zero_grad(set_to_none=True)
print(json.dumps({"different": len(found), "threads": torch.get_num_threads()}))
"""


@pytest.fixture(scope="module")
def flags() -> list[str]:
    """Of a short run; where it cannot be compiled there is nothing to show."""
    if reason := compiler.problem():
        pytest.skip(f"nothing can be compiled here: {reason}")
    return [*SHORT, "--compile", "on", "--threads", str(CORES)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where these processes keep what they compile."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def shared(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(built))


@pytest.fixture(scope="module")
def whole(flags: list[str], built: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run from its beginning to its end."""
    space = Workspace(tmp_path_factory.mktemp("whole") / "out")
    command = [sys.executable, "-m", "tinytx.cli.main", "train", *flags, "--quiet"]
    subprocess.run(
        [*command, "--output-dir", str(space.root)],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(built)},
        check=True,
    )
    return space


@pytest.mark.long
def test_a_run_in_two_other_processes_one_of_them_interrupted_gives_the_same_weights(
    whole: Workspace, flags: list[str], start: Start, tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "out")
    # Beside busy programs the arithmetic is measured anew each time, and may come out otherwise.
    arithmetic = json.loads(whole.metrics.read_bytes())["machine"]["precision"]
    flags = [*flags, "--set", f"training.precision={arithmetic}"]
    command = ["train", *flags, "--output-dir", str(space.root)]
    first = start(*command)
    first.wait_for("epoch 1/2: train")
    first.process.send_signal(signal.SIGINT)
    assert first.end() == 130, first.text
    again = start(*command, "--resume")
    assert again.end() == 0, again.text
    assert "resuming in epoch 2" in again.text
    for path in ("final_model", "best_model"):
        ours, theirs = (checkpoint.load(getattr(s, path))["model"] for s in (space, whole))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items()), path
    ours, theirs = read_metrics(space.metrics), read_metrics(whole.metrics)
    assert [e.train_loss for e in ours.epochs] == [e.train_loss for e in theirs.epochs]
    for metrics in (ours, theirs):
        assert metrics.machine["compiled"] is True
        assert metrics.machine["threads"] == CORES
    assert ours.interruptions == 1


@pytest.mark.long
def test_a_compiled_gradient_is_the_same_in_every_call(whole: Workspace) -> None:
    found = subprocess.run(
        [sys.executable, "-c", GRADIENTS, str(whole.root), str(CALLS)],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(found.stdout) == {"different": 1, "threads": CORES}


@pytest.mark.long
def test_no_kernel_adds_atomically(whole: Workspace, built: Path) -> None:
    sources = list(built.rglob("*.cpp")) + list(built.rglob("*.py"))
    assert any("omp" in path.read_text() for path in sources)
    assert [path.name for path in sources if "atomic_add" in path.read_text()] == []


WITHOUT_TEMPORARY = """
import sys, tempfile
def none_usable():
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
tempfile._get_default_tempdir = none_usable
from tinytx.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.long
def test_without_a_folder_for_temporary_files_a_run_goes_on_eagerly_and_says_why(
    model_flags: list[str], texts: dict[str, Path], tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "out")
    files = ["--corpus-path", str(texts["train"]), "--val-path", str(texts["val"])]
    command = ["train", *files, *model_flags, "--compile", "on", "--epochs", "1", "--quiet"]
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_TEMPORARY, *command, "--output-dir", str(space.root)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    (line,) = found.stderr.splitlines()  # though it is to be quiet
    assert "torch.compile does not work here, going on without: there is no folder for" in line
    machine = read_metrics(space.metrics).machine
    assert machine["compiled"] is False
    assert "temporary files" in machine["eager_because"]
