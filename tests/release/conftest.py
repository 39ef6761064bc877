"""A device without a model, a network and a disk that takes its time."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.stores import Device, passing
from tinytx.release import prove, watching


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: hundreds of stores are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="tinytx-test-", dir=memory))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A store to be made, whose proofs pass and whose watch is the test."""
    monkeypatch.setattr(prove, "prove", passing)
    monkeypatch.setattr(watching, "start", lambda store, delay=0.0: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    (folder / "bundles").mkdir()
    yield Device(folder / "store", folder / "bundles")
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o755)  # it could not be removed else
