"""Kernels of our own: built once, kept by what they were built from, and left out where they cannot
be built."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tinytx.train import native


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was loaded before does not count here, nor afterwards."""
    native.load.cache_clear()
    yield
    native.load.cache_clear()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of sources that hold one small function."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "answer.cpp").write_text('extern "C" int answer() { return 42; }')
    monkeypatch.setattr(native, "SOURCES", sources)
    try:
        native.build_command()
    except native.CannotBuild as error:
        pytest.skip(f"nothing can be built here: {error}")
    return tmp_path / "new" / native.FOLDER


def test_a_library_is_built_once_and_again_when_its_source_is_another(library: Path) -> None:
    assert native.load(library.parent).answer() == 42
    (first,) = library.iterdir()
    made = first.stat()
    native.load.cache_clear()
    assert native.load(library.parent).answer() == 42
    assert first.stat().st_mtime_ns == made.st_mtime_ns
    native.load.cache_clear()
    (native.SOURCES / "answer.cpp").write_text('extern "C" int answer() { return 43; }')
    assert native.load(library.parent).answer() == 43
    assert len(list(library.iterdir())) == 2  # no traces of the building


def test_a_source_that_cannot_be_built_says_why_and_leaves_nothing(library: Path) -> None:
    (native.SOURCES / "answer.cpp").write_text("int answer( { }")
    with pytest.raises(native.CannotBuild, match="error"):
        native.load(library.parent)
    assert list(library.iterdir()) == []


def test_a_damaged_library_is_built_again(library: Path, tmp_path: Path) -> None:
    native.load(library.parent)
    (built,) = library.iterdir()
    damaged = tmp_path / "other" / native.FOLDER / built.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no library")
    native.load.cache_clear()
    assert native.load(tmp_path / "other").answer() == 42


def test_without_a_compiler_there_are_no_kernels(
    library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(native.CannotBuild, match=r"there is no C\+\+ compiler"):
        native.load(library.parent)


def test_a_folder_that_cannot_be_made_says_why(library: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(native.CannotBuild, match=r"Not a directory|File exists"):
        native.load(tmp_path / "file")


@pytest.mark.parametrize(
    ("machine", "capability", "flag"),
    [("x86_64", "AVX2", True), ("x86_64", "AVX512", False), ("aarch64", "DEFAULT", False)],
)
def test_kernels_keep_to_the_instructions_that_pytorch_keeps_to(
    library: Path, monkeypatch: pytest.MonkeyPatch, machine: str, capability: str, flag: bool
) -> None:
    monkeypatch.setattr(native.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert ("-mno-avx512f" in native.build_command()) is flag


def test_without_vectors_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(native.CannotBuild, match=r"none is written for .*x86_64, DEFAULT"):
        native.build_command()


def test_results_that_differ_are_refused() -> None:
    one = torch.ones(3)
    native.compare("a test", [one], [one + 1e-6])
    for other in (one + 1e-3, one * torch.nan):
        with pytest.raises(native.CannotBuild, match="built for a test is off by"):
            native.compare("a test", [one], [other])


def test_all_kernels_are_in_one_library(kernels: ctypes.CDLL) -> None:
    for name in ("attention", "attention_gradient", "softmax_loss"):
        assert getattr(kernels, f"tinytx_{name}")
