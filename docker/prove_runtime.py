"""Run inside the runtime image while it is built: fails the build when a promise does not hold."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ABSENT = ("torch", "onnx", "pip", "setuptools", "wheel", "pytest", "ensurepip")
NO_PROGRAM = (
    "gcc",
    "cc",
    "g++",
    "c++",
    "clang",
    "make",
    "ld",
    "pip",
    "pip3",
    "git",
    "curl",
    "wget",
)
NEEDED = (
    *("numpy", "onnxruntime", "sentencepiece", "psutil", "msgspec", "click", "rich"),
    *("uvicorn", "starlette", "prometheus_client"),
)
PROGRAMS = ("tini", "ssh-keygen")  # the second checks who signed a release
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
TEMPORARY = ("tmp", "var/tmp")


def packages() -> list[str]:
    found = [f"{n} can be imported" for n in ABSENT if importlib.util.find_spec(n)]
    found += [f"{n} is on the PATH" for n in NO_PROGRAM if shutil.which(n)]
    found += [f"there is no {n}" for n in PROGRAMS if not shutil.which(n)]
    if "BEGIN CERTIFICATE" not in AUTHORITIES.read_text():
        found.append("no authority is known, so no https address can be reached")
    for name in NEEDED:  # each in a process of its own, which an illegal instruction may kill
        child = subprocess.run([sys.executable, "-P", "-c", f"import {name}"], check=False)
        if child.returncode:
            found.append(f"importing {name} ends with {child.returncode}")
    return found


def tinytx() -> list[str]:
    found = [f"{n} can be imported" for n in ABSENT if importlib.util.find_spec(n)]
    if subprocess.run(["tinytx", "--version"], check=False).returncode:
        found.append("tinytx does not start")
    return found


def left_over(root: Path = Path("/")) -> list[str]:
    """What the proof itself, or an import before it, left in the image."""
    found = [path for name in TEMPORARY for path in (root / name).rglob("*")]
    for folder, names, _ in os.walk(root):
        here = Path(folder)
        if here == root:
            names[:] = [name for name in names if name not in ("dev", "proc", "sys", *TEMPORARY)]
        found += [here / name for name in names if name == ".cache"]
    return [f"{path} is left over from the build" for path in sorted(found)]


def main() -> None:
    found = {"packages": packages, "tinytx": tinytx}[sys.argv[1]]()
    found += left_over()
    for line in found:
        print(f"the runtime image breaks its promise: {line}", file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"proven on {platform.machine()}: {sys.argv[1]}; no torch, no onnx, no pip")


if __name__ == "__main__":
    main()
