"""Whether kernels can be built here: what is promised is tried."""

import shutil
from pathlib import Path

import pytest

from tinytx import compiler

Asked = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def ask_anew() -> None:
    compiler.trouble.cache_clear()


def program(folder: Path, name: str, script: str) -> str:
    """An executable shell script; returns its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_works_is_no_trouble_and_is_tried_once(monkeypatch: Asked) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    monkeypatch.delenv("CXX", raising=False)
    assert compiler.problem() == ""
    monkeypatch.setattr(compiler, "_try", lambda *_: pytest.fail("tried again"))
    assert compiler.problem() == ""


def test_without_a_compiler_its_name_is_told(monkeypatch: Asked, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiler.problem() == f"there is no C++ compiler {compiler.USUAL}"
    program(tmp_path, "c++", "exit 0")  # PyTorch does not look for this one
    compiler.trouble.cache_clear()
    assert compiler.problem() == f"there is no C++ compiler {compiler.USUAL}"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 0", "cannot be loaded"),
        ("echo 'trial.cpp:2: fatal error: Python.h: No such file' >&2; exit 1", "Python.h"),
        ("exit 3", "no reason given"),
        (": >trial.so", "cannot be loaded"),
    ],
)
def test_a_program_by_the_name_of_a_compiler_is_not_enough(
    monkeypatch: Asked, tmp_path: Path, script: str, told: str
) -> None:
    monkeypatch.setenv("CXX", program(tmp_path, "mine", script))
    assert told in compiler.problem()
    assert str(tmp_path / "mine") in compiler.problem()


def test_no_folder_for_temporary_files_is_a_reason(monkeypatch: Asked, tmp_path: Path) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setenv("CXX", program(tmp_path, "mine", "exit 0"))
    monkeypatch.setattr(compiler.tempfile, "mkdtemp", lambda *_, **__: none_usable())
    assert "no folder for temporary files" in compiler.problem()


def test_a_compiler_that_hangs_is_given_up(monkeypatch: Asked, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", program(tmp_path, "mine", "exec sleep 60"))
    monkeypatch.setattr(compiler, "PATIENCE_SECONDS", 0.1)
    assert "has not built a small function" in compiler.problem()
