"""Can this processor run the native libraries? Each is imported in a child, which may die of it.

A library built for newer processors holds instructions that an older one lacks: the kernel kills
the process (SIGILL) and Python cannot catch it. Only the standard library is imported here, so
that the answer comes before anything native is loaded.
"""

import importlib.metadata
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytx.packages import how_to_install

LIBRARIES = ("msgspec", "numpy", "onnxruntime", "sentencepiece", "psutil", "rich")
"""What the runtime cannot do without."""
EXTRAS = {"torch": "train", "onnx": "export"}
IMPORT_SECONDS = 120.0

# What the kernel lists under Features for each board; evtstrm and cpuid are services of the
# kernel, not instructions. The first three have the same ARMv8.0 set.
_ARMV8_0 = frozenset({"fp", "asimd", "crc32"})
_ARMV8_2 = _ARMV8_0 | {
    *("aes", "pmull", "sha1", "sha2", "atomics", "fphp", "asimdhp", "asimdrdm"),
    *("lrcpc", "dcpop", "asimddp"),
}
BOARDS = {"Pi 3": _ARMV8_0, "Zero 2 W": _ARMV8_0, "Pi 4": _ARMV8_0, "Pi 5": _ARMV8_2}


@dataclass(frozen=True)
class Import:
    """How one import ended."""

    name: str
    ok: bool
    found: str
    """The version, or why it failed."""
    remedy: str = ""


def try_import(name: str, python: Sequence[str], root: Path = Path("/")) -> Import:
    """Import a library in a process of its own and tell how that process ended.

    ``python`` starts the child; ``root`` is where /proc/cpuinfo is read.
    """
    code = f"import {name}; print(getattr({name}, '__version__', ''))"
    try:
        child = subprocess.run(
            [*python, "-c", code],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=IMPORT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        hangs = f"importing {name} hangs: no answer after {IMPORT_SECONDS:.0f} s"
        return Import(name, False, hangs, _other_version(name))
    if child.returncode == 0:
        return Import(name, True, (child.stdout.split() or [_installed(name)])[-1])
    return _failure(name, child.returncode, child.stderr, root)


def _installed(name: str) -> str:
    """The version of a package that does not tell it itself."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown version"


def _failure(name: str, status: int, errors: str, root: Path) -> Import:
    # A shell or an init between us and the child reports a signal as 128 + its number.
    if status in (-signal.SIGILL, 128 + signal.SIGILL):
        return Import(name, False, illegal_instruction(root), _other_version(name))
    if status < 0:
        return Import(name, False, f"importing {name} crashes (signal {-status})",
                      _other_version(name))  # fmt: skip
    last = (errors.strip().splitlines() or ["no message"])[-1]
    if last.startswith("ModuleNotFoundError") and f"'{name}'" in last:
        extra = EXTRAS.get(name)
        verb = f": cannot {extra}" if extra else ""
        return Import(name, False, f"not installed{verb}", how_to_install(name))
    found = f"importing {name} fails: {last[:200]}"
    return Import(name, False, found, how_to_install(name, again=True))


def illegal_instruction(root: Path = Path("/")) -> str:
    """The sentence for a library that this processor cannot run; it names the boards."""
    boards = boards_without(_features(root))
    where = ", ".join(boards) if boards else "this processor"
    return f"illegal instruction: this build does not run on {where}"


def boards_without(features: frozenset[str]) -> list[str]:
    """The boards that cannot run what a processor with these features cannot run.

    A board that has no more instructions than this processor lacks the same one.
    """
    return [name for name, has in BOARDS.items() if features and has <= features]


def _features(root: Path) -> frozenset[str]:
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return frozenset()
    line = re.search(r"^Features\s*:(.*)$", text, re.MULTILINE)
    return frozenset(line.group(1).split()) if line else frozenset()


def _other_version(name: str) -> str:
    return f"install another version of {name}; see `tinytx doctor --json` for the processor"
