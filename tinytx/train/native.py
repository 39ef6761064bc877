"""C++ kernels of our own (``kernels/``): built once on the machine that runs them, and loaded.

They lie beside torch.compile's, in the folder of this kind of processor (``compiling.py``), under a
name that holds what they were built from. Where they cannot be built there are none: each has a
form in PyTorch that does the same.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from tinytx import compiler

SOURCES = Path(__file__).parent / "kernels"
FOLDER = "tinytx"
BUILD = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-w"]
NARROWER = {"AVX2": ["-mno-avx512f"]}
"""What keeps the compiler to the instructions that PyTorch was told to use."""
CAPABILITIES = {"x86_64": ("AVX512", "AVX2")}
"""Where there are vectors that these kernels are written for; other machines have one kind."""


TOLERANCE = 1e-4  # of results of size 1, which differ by 1e-6


class CannotBuild(Exception):
    """There are no kernels of our own here; the message says why."""


@functools.cache
def load(kernels: Path) -> ctypes.CDLL:
    """All kernels, built below the folder ``kernels`` unless they are there.

    Raises :class:`CannotBuild`.
    """
    command = build_command()
    sources = sorted(SOURCES.iterdir())
    facts = [*(path.read_text(encoding="utf-8") for path in sources), *command]
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
    library = kernels / FOLDER / f"kernels-{digest}.so"
    try:
        with suppress(OSError):  # it is not there, or damaged
            return ctypes.CDLL(str(library))
        _build([*command, *(str(path) for path in sources if path.suffix == ".cpp")], library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CannotBuild(str(error)) from error


def compare(name: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Raise :class:`CannotBuild` where a kernel's results are not those of its other form."""
    error = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    if not error < TOLERANCE:
        raise CannotBuild(f"the kernel that was built for {name} is off by {error:.1e}")


def build_command() -> list[str]:
    """How kernels are built here. Raises :class:`CannotBuild`."""
    capability = torch.backends.cpu.get_cpu_capability()
    machine = platform.machine()
    if sys.platform != "linux" or capability not in CAPABILITIES.get(machine, (capability,)):
        raise CannotBuild(f"none is written for {sys.platform}, {machine}, {capability}")
    named = os.environ.get("CXX") or compiler.USUAL
    found = shutil.which(named)
    if found is None:
        raise CannotBuild(f"there is no C++ compiler {named}")
    return [found, *BUILD, *NARROWER.get(capability, [])]


def _build(command: list[str], library: Path) -> None:
    """Build beside its place and move it there: others find all of it or nothing."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        try:
            found = subprocess.run(
                [*command, "-o", str(made)],
                capture_output=True,
                text=True,
                timeout=compiler.PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotBuild(f"{command[0]} took more than {error.timeout:.0f} s") from error
        if found.returncode:
            told = [line for line in found.stderr.splitlines() if "error" in line] or ["no reason"]
            raise CannotBuild(f"{command[0]}: {told[0].strip()[:200]}")
        made.replace(library)
