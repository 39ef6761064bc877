"""Copies of the finished tiny run, to be damaged and exported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.workspace import Workspace, sha256_file


@pytest.fixture
def space(tiny_run: Path, tmp_path: Path) -> Workspace:
    """A finished training with its bundle and the stamp of the export."""
    return Workspace(Path(shutil.copytree(tiny_run, tmp_path / "out")))


@pytest.fixture
def unexported(space: Workspace) -> Workspace:
    """A finished training that was never exported."""
    shutil.rmtree(space.bundle)
    space.stamp("export").remove()
    return space


@pytest.fixture
def snapshot() -> Callable[[Workspace], dict[str, str]]:
    """Every file of an output directory with its sha256."""

    def take(space: Workspace) -> dict[str, str]:
        files = (p for p in space.root.rglob("*") if p.is_file())
        return {str(p.relative_to(space.root)): sha256_file(p) for p in files}

    return take
