"""How a package that is not there is installed: said in one place, so that it is right everywhere.

The packages themselves are named, never ``tinytx[train]``: this project is not on the package
index, and what has its name there is not ours.
"""

import platform
import shlex
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

CPU_BUILDS = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Where PyTorch has builds for x86-64 without several GB of CUDA."""
REQUIREMENTS = {
    "click": "click>=8.1",
    "docker": "docker>=7",
    "msgspec": "msgspec>=0.19",
    "numpy": "numpy>=1.26",
    "onnx": "onnx>=1.18",
    "onnxruntime": "onnxruntime>=1.23.0",
    "optuna": "optuna>=5",
    "prometheus_client": "prometheus_client>=0.26",
    "psutil": "psutil>=5.9",
    "psycopg": "psycopg[binary]>=3.2",
    "rich": "rich>=13",
    "sentencepiece": "sentencepiece>=0.2.1",
    "sqlalchemy": "sqlalchemy>=2",
    "starlette": "starlette>=1.10",
    "tensorboard": "tensorboard>=2.16",
    "torch": "torch==2.13.0",
    "uvicorn": "uvicorn>=0.54",
}
"""What pyproject.toml asks for, package by package; torch's other pin is in :func:`requirement`."""
TORCH_ON_ARM = "torch==2.8.0"


def requirement(name: str) -> str:
    """The release of a package that tinytx is made for, on this platform."""
    if name == "torch" and (sys.platform, platform.machine()) == ("linux", "aarch64"):
        return TORCH_ON_ARM
    return REQUIREMENTS.get(name, name)


def how_to_install(*names: str, again: bool = False) -> str:
    """The command that installs these packages for the Python that runs this, or what to do where
    none would; ``again`` replaces what is there."""
    wanted = " ".join(map(requirement, names))
    if find_spec("pip") is None:
        return f"this Python has no pip for {wanted}; of the images, tinytx:train has everything"
    if _refuses_pip():
        return (
            f"this system's Python refuses pip: make a virtual environment (python3 -m venv .venv),"
            f" and install tinytx and {wanted} with .venv/bin/pip"
        )
    words = [_python(), "-m", "pip", "install", *["--force-reinstall"] * again]
    words += CPU_BUILDS.split() * ("torch" in names and platform.machine() == "x86_64")
    return shlex.join([*words, *map(requirement, names)])


def _python() -> str:
    """This interpreter, by its short name where that finds it."""
    found = shutil.which("python3")
    same = found is not None and Path(found).parent == Path(sys.executable).parent
    return "python3" if same else sys.executable


def _refuses_pip() -> bool:
    """Debian and others keep pip out of the system's Python (PEP 668), not out of environments."""
    if sys.prefix != sys.base_prefix:
        return False
    return (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists()
