"""Volumes: missing, owned by another, and a training that is interrupted and goes on."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker
Run = Callable[..., tuple[int, str]]

SMALL = [
    "--vocab-size", "320", "--max-seq-length", "48", "--batch-size", "8",
    "--set", "model.layers=2", "--set", "model.width=32",
    "--set", "model.pair_rows=500", "--set", "model.heads=2",
    "--set", "model.hidden=48", "--set", "training.precision=float32",
    "--set", "training.threads=1", "--set", "training.compile=off",
    "--corpus-path", "/corpus.txt",
]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "arguments", "code"),
    [("train", ["--epochs", "1"], 1), ("export", [], 1), ("bench", [], 9), ("verify", [], 9)],
)
def test_without_its_volume_a_service_says_what_is_missing(
    run: Run, service: str, arguments: list[str], code: int
) -> None:
    status, out = run(service, arguments)
    assert status == code
    assert out.startswith("tinytx: no volume is mounted on /data")
    assert "docker compose run --rm" in out


def test_a_bundle_may_be_mounted_by_itself(run: Run, readable_bundle: Path) -> None:
    volumes = {str(readable_bundle): {"bind": "/data/bundle", "mode": "ro"}}
    status, out = run("verify", [], volumes=volumes)
    assert (status, "golden tokens reproduced" in out) == (0, True), out


def test_an_empty_volume_has_no_bundle(run: Run, volume: str) -> None:
    status, out = run("bench", [], volumes={volume: {"bind": "/data"}})
    assert status == 9
    assert "/data/bundle" in out


def test_a_volume_of_another_user_is_told_with_the_remedy(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    status, out = run("train", [], volumes={str(tmp_path): {"bind": "/data"}})
    assert status == 1
    assert f"/data belongs to user {tmp_path.stat().st_uid}" in out
    assert "--entrypoint chown" in out


@pytest.fixture
def full(engine: Any) -> Iterator[str]:
    """A volume of 300 kB."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=300k,uid=10001,gid=10001"}
    made = engine.volumes.create(driver_opts=options)
    yield made.name
    made.remove(force=True)


def test_a_full_volume_is_told_in_one_sentence(full: str, run: Run, small_corpus: Path) -> None:
    for folder in [small_corpus, *small_corpus.parents[:3]]:
        folder.chmod(0o755)
    volumes = {full: {"bind": "/data"}, str(small_corpus): {"bind": "/corpus.txt", "mode": "ro"}}
    status, out = run("train", [*SMALL, "--epochs", "1"], volumes=volumes)
    assert status == 1, out
    assert "of free disk; 2 GB are needed" in out
    assert "free some space" in out


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_training_within_ten_seconds_and_the_next_run_goes_on(
    start: Callable[..., Any], run: Run, volume: str, small_corpus: Path, signal: str
) -> None:
    for folder in [small_corpus, *small_corpus.parents[:3]]:
        folder.chmod(0o755)
    volumes = {volume: {"bind": "/data"}, str(small_corpus): {"bind": "/corpus.txt", "mode": "ro"}}
    training = start("train", [*SMALL, "--epochs", "500"], volumes=volumes)
    until(lambda: "epoch 2/" in training.logs().decode(), 300)
    began = time.monotonic()
    training.kill(signal)
    status = training.wait(timeout=120)["StatusCode"]
    assert time.monotonic() - began < 10
    assert status == 130, training.logs().decode()
    again = start("train", [*SMALL, "--epochs", "500"], volumes=volumes)
    until(lambda: "epoch 4/" in again.logs().decode(), 300)
    again.kill("SIGKILL")
    assert "epoch 1/" not in again.logs().decode()


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
