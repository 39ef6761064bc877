"""Whether torch.compile can build and load its kernels here: tried, not looked up by name.

Standard library only: the doctor asks as well, where there may be no torch.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

USUAL = "clang++" if sys.platform == "darwin" else "g++"
"""What PyTorch calls unless ``CXX`` names another one."""
PATIENCE_SECONDS = 120.0
ANSWER = 42
SOURCE = """
#include <Python.h>
#include <cmath>
#include <vector>
extern "C" int answer() {
    double sum = 0;
    #pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < 42; i++) sum += std::cos(0.0 * i);
    return (int)std::vector<double>{sum}[0];
}
"""


@functools.cache
def trouble(named: str | None = None, path: str | None = None) -> str:
    """Why kernels cannot be built and loaded here, in a few words; nothing where they can.

    Takes half a second, once for a compiler: ``named`` and ``path`` are those of the environment
    (:func:`problem` asks so).
    """
    compiler = shutil.which(named or USUAL, path=path)
    if compiler is None:
        return f"there is no C++ compiler {named or USUAL}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _try(compiler, Path(folder))
    except FileNotFoundError as error:  # tempfile's word for: none of its folders can be used
        return f"there is no folder for temporary files ({error.strerror})"
    except OSError as error:
        return f"{compiler}: {error.strerror or error}"


def problem() -> str:
    """:func:`trouble` in the environment as it is now."""
    return trouble(os.environ.get("CXX"), os.environ.get("PATH"))


def _try(compiler: str, folder: Path) -> str:
    """Build a function as PyTorch builds kernels, load it and call it."""
    (folder / "trial.cpp").write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-std=c++17", "trial.cpp", "-o", "trial.so"]
    command += [f"-I{sysconfig.get_path('include')}"]
    command += ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-fopenmp"]
    try:
        built = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{compiler} has not built a small function in {PATIENCE_SECONDS:.0f} s"
    if built.returncode:
        lines = [line for line in built.stderr.splitlines() if "error" in line]
        told = (lines or built.stderr.splitlines() or ["no reason given"])[0].strip()
        return f"{compiler} cannot build a small function: {told[:200]}"
    try:
        found = ctypes.CDLL(str(folder / "trial.so")).answer()
    except (OSError, AttributeError) as error:
        return f"what {compiler} builds cannot be loaded: {error}"
    return "" if found == ANSWER else f"what {compiler} builds gives {found} for {ANSWER}"
