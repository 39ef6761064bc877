"""Devices that are folders on this machine, behind a fake ``ssh`` that is first in PATH."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release import stores
from tests.remote.device import Devices
from tinytx.remote import link


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    folder = tmp_path / "devices"
    folder.mkdir()
    made = Devices(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TINYTX_DEVICES", str(made.file))
    monkeypatch.setenv("TINYTX_STATE_DIR", str(folder / "state"))
    monkeypatch.setattr(link, "WAITS", (0.1, 0.1, 0.2))
    yield made
    made.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that a store accepts and no runtime could load."""
    return stores.made(tmp_path / "bundle", "first")
