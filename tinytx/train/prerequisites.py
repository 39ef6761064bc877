"""Phase 1: can this machine train into this folder at all?"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tinytx import cgroup
from tinytx.errors import PrerequisiteError
from tinytx.packages import how_to_install

NEEDED_DISK = 2_000_000_000  # bytes
NEEDED_MEMORY = 250_000_000
"""Bytes: the smallest models take 250 MB in training, of which PyTorch itself is 225."""
NEEDED_PYTHON = (3, 11)
PACKAGES = ("torch", "sentencepiece", "numpy", "msgspec")


def check(output: Path) -> list[str]:
    """What was found, a line each. Raises :class:`PrerequisiteError` with the remedy."""
    return [
        check_python(),
        check_packages(),
        check_memory(),
        check_writable(output),
        check_disk(output),
    ]


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


def check_memory(root: Path = cgroup.ROOT, needed: int = NEEDED_MEMORY) -> str:
    """What the machine and its control groups leave: below ``needed`` the kernel would end it."""
    free = cgroup.available(root)
    if free is None:
        return "available memory: not known"
    if free < needed:
        groups = cgroup.memory(root)
        remedy = "close other programs"
        if groups.room == free:
            remedy = f"raise the limit of {groups.of or 'the control groups of this process'}"
        raise PrerequisiteError(
            f"{free / 1e6:,.0f} MB of memory may be taken here; training needs {needed / 1e6:.0f} "
            "at the very least",
            remedy,
        )
    return f"{free / 1e6:,.0f} MB of memory may be taken"


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
