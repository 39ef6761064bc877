"""What docker/prove_runtime.py finds that an image must not hold."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]


def test_a_root_without_leftovers_is_clean(script: Script, tmp_path: Path) -> None:
    for name in ("tmp", "var/tmp", "root", "usr/bin", "proc/1/.cache"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/.bashrc").touch()
    assert script("prove_runtime").left_over(tmp_path) == []


@pytest.mark.parametrize(
    "path", ["tmp/.cache/x/deviceid", "var/tmp/x", "root/.cache", "a/b/.cache"]
)
def test_what_a_build_left_is_named(script: Script, tmp_path: Path, path: str) -> None:
    (tmp_path / path).mkdir(parents=True)
    found = script("prove_runtime").left_over(tmp_path)
    assert f"{tmp_path / path} is left over from the build" in found
