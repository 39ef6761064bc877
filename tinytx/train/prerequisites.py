"""Phase 1: can this machine train into this folder at all?"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tinytx.errors import PrerequisiteError
from tinytx.packages import how_to_install

NEEDED_DISK = 2_000_000_000  # bytes
NEEDED_PYTHON = (3, 11)
PACKAGES = ("torch", "sentencepiece", "numpy", "msgspec")


def check(output: Path) -> list[str]:
    """What was found, a line each. Raises :class:`PrerequisiteError` with the remedy."""
    return [check_python(), check_packages(), check_writable(output), check_disk(output)]


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> str:
    text = ".".join(map(str, version))
    if version[:2] < NEEDED_PYTHON:
        raise PrerequisiteError(f"Python {text} is too old", "install Python 3.11 or newer")
    return f"Python {text}"


def check_packages(names: tuple[str, ...] = PACKAGES) -> str:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"training needs {', '.join(missing)}, which is not installed",
            how_to_install(*missing),
        )
    return f"packages: {', '.join(names)}"


def check_writable(output: Path) -> str:
    """Make the output directory and write a byte into it."""
    try:
        existing = next(p for p in [output, *output.absolute().parents] if p.exists())
        if not existing.is_dir():
            raise PrerequisiteError(
                f"{existing} is a file, not a directory", "choose another --output-dir"
            )
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise PrerequisiteError(
            f"cannot write into {output}: {error.strerror}",
            "choose another --output-dir, free some space, or change its permissions",
        ) from error
    return f"output directory {output} is writable"


def check_disk(output: Path, needed: int = NEEDED_DISK) -> str:
    free = shutil.disk_usage(output).free
    if free < needed:
        raise PrerequisiteError(
            f"{output} has {free / 1e9:.2f} GB of free disk; {needed / 1e9:.0f} GB are needed",
            "free some space, or choose an --output-dir on another disk",
        )
    return f"{free / 1e9:.0f} GB of free disk"
