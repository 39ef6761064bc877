"""A library that is broken or missing is named, with exit code 1, whichever command needs it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytx.cli.failures import understood
from tinytx.errors import LibraryError, PrerequisiteError, UsageError

ROOT = Path(__file__).parents[2]
SEGMENT = "libx.so.1: failed to map segment from shared object"
BROKEN = {
    "ImportError": f"raise ImportError({SEGMENT!r})",
    "OSError": f"raise OSError({SEGMENT!r})",
    # As numpy does: the reason is the cause of a long letter.
    "letter": f"try:\n    raise OSError({SEGMENT!r})\nexcept OSError as error:\n"
    "    raise ImportError('\\n\\nIMPORTANT: PLEASE READ THIS') from error",
}
MISSING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == NAME:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
COMMANDS = {
    "verify": ["verify", "BUNDLE"],
    "generate": ["generate", "BUNDLE", "The", "--json"],
    "bench": ["bench", "BUNDLE", "--time-limit", "1", "--json", "--report", "r.json"],
    "compare": ["compare", "BUNDLE", "BUNDLE", "--time-limit", "1", "--json"],
    "train": ["train", "--output-dir", "out", "--json"],
    "export": ["export", "--output-dir", "RUN", "--json"],
}


def tinytx(command: str, folder: Path, run: Path) -> "subprocess.CompletedProcess[str]":
    """A command in a process that finds ``folder/planted`` before everything else."""
    places = {"BUNDLE": str(run / "bundle"), "RUN": str(run)}
    return subprocess.run(
        [sys.executable, "-m", "tinytx.cli.main", *(places.get(w, w) for w in COMMANDS[command])],
        env={**os.environ, "PYTHONPATH": f"{folder / 'planted'}:{ROOT}"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_told(ended: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.endswith(
        f"tinytx: {words}\n  -> `tinytx doctor` tries every library and says what to do\n"
    )
    assert "Traceback" not in ended.stderr
    assert "a bug" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "library", "kind"),
    [
        ("verify", "onnxruntime", "ImportError"),
        ("verify", "numpy", "letter"),
        ("verify", "msgspec", "ImportError"),
        ("generate", "sentencepiece", "OSError"),
        ("generate", "onnxruntime", "OSError"),
        ("bench", "numpy", "OSError"),
        ("bench", "msgspec", "ImportError"),
        ("train", "torch", "OSError"),
        ("train", "numpy", "OSError"),
        ("export", "torch", "ImportError"),
        ("export", "onnx", "ImportError"),
        ("export", "onnxruntime", "OSError"),
    ],
)
def test_a_broken_library_is_named(
    tiny_run: Path, tmp_path: Path, command: str, library: str, kind: str
) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / f"planted/{library}.py").write_text(BROKEN[kind])
    ended = tinytx(command, tmp_path, tiny_run)
    assert_told(ended, f"the library {library} cannot be loaded: {SEGMENT}")


@pytest.mark.parametrize("command", ["bench", "compare"])
@pytest.mark.parametrize("library", ["onnxruntime", "sentencepiece"])
def test_a_library_that_only_workers_load_is_named_and_makes_no_verdict(
    tiny_run: Path, tmp_path: Path, command: str, library: str
) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / f"planted/{library}.py").write_text(BROKEN["ImportError"])
    ended = tinytx(command, tmp_path, tiny_run)
    why = f"importing {library} fails: ImportError: {SEGMENT}"
    assert_told(ended, f"the library {library} cannot be used: {why}")


@pytest.mark.parametrize(
    ("command", "library"), [("verify", "numpy"), ("generate", "msgspec"), ("bench", "numpy")]
)
def test_a_missing_library_is_named(
    tiny_run: Path, tmp_path: Path, command: str, library: str
) -> None:
    (tmp_path / "planted").mkdir()
    planted = MISSING.replace("NAME", repr(library))
    (tmp_path / "planted/sitecustomize.py").write_text(planted)
    ended = tinytx(command, tmp_path, tiny_run)
    assert_told(ended, f"the library {library} is not installed")


def test_an_onnxruntime_of_which_only_the_folder_is_left_is_named(
    tiny_run: Path, tmp_path: Path
) -> None:
    """Two packages bring it under the same name; uninstalling one takes the other's modules."""
    (tmp_path / "planted/other").mkdir(parents=True)
    hide = "import importlib.machinery as m, sys\nspec = m.ModuleSpec('onnxruntime', None)\n"
    hide += "spec.submodule_search_locations = []\n"
    hide += "class Hide:\n    def find_spec(self, name, path=None, target=None):\n"
    hide += "        return spec if name == 'onnxruntime' else None\n"
    hide += "sys.meta_path.insert(0, Hide())\n"
    (tmp_path / "planted/sitecustomize.py").write_text(hide)
    ended = tinytx("verify", tmp_path, tiny_run)
    assert_told(ended, "the library onnxruntime is broken: only its folder is there")


def raised(source: str, module: str = "tinytx.cli.x") -> Exception:
    """The error of a module of ours that runs ``source``."""
    with pytest.raises(Exception) as info:
        exec(compile(source, "x.py", "exec"), {"__name__": module})
    return info.value


@pytest.mark.parametrize(
    "source",
    [
        "1 / 0",
        "import tinytx.nothing",
        "from tinytx.errors import Nothing",
        "import json; json.loads('{')",
        "open('/nowhere/at/all')",
        "import math; math.nothing",
        "raise ImportError('of our own')",
        "import json\njson.nothing",
    ],
)
def test_what_is_a_bug_of_ours_stays_one(source: str) -> None:
    assert understood(raised(source)) is None


def test_a_library_that_lacks_a_library_of_its_own_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted_outer.py").write_text("import planted_inner")
    (tmp_path / "planted_inner.py").write_text("import planted_nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = understood(raised("import planted_outer"))
    assert isinstance(found, LibraryError)
    assert found.message == (
        "the library planted_inner cannot be loaded: No module named 'planted_nothing'"
    )


def test_what_a_library_says_is_kept_short_and_printable() -> None:
    found = understood(raised("import numpy.nothing\n"))
    assert found and found.message.startswith("the library numpy cannot be loaded: No module")
    long = understood(raised("raise ModuleNotFoundError('\\x1b' + 'x' * 900, name='a.b')"))
    assert long and long.message == "the library a cannot be loaded: ?" + "x" * 199


def test_a_known_error_is_itself_and_a_full_disk_and_too_little_memory_are_told() -> None:
    error = UsageError("no")
    assert understood(error) is error
    full = understood(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(full, PrerequisiteError)
    assert understood(OSError(errno.EACCES, "Permission denied")) is None
    memory = understood(MemoryError())
    assert memory and (memory.exit_code, memory.remedy) == (70, "")
