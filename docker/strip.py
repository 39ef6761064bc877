"""Take away what a device never runs, byte-compile once, say what it came to.

    python3 strip.py [--keep] FOLDER PLACE

PLACE is where the folder ends up in the image; with --keep it is only byte-compiled.
Tests, headers, type stubs, static libraries, command-line scripts and packages' tools go; licences
and the metadata (what an audit or an SBOM reads) stay.
"""

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

FOLDERS = ("tests", "test", "testing/tests", "include", "__pycache__")
FILES = ("*.pyi", "*.pxd", "*.pyx", "*.h", "*.hpp", "*.a", "*.lib", "*.c", "py.typed")
WHOLE = (
    "bin",
    "numpy/f2py",
    "numpy/distutils",
    "numpy/_pyinstaller",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/datasets",
    "onnxruntime/backend",
    "sentencepiece/package_data",
    "pygments/lexers",  # rich asks for them only to colour source code
    "pygments/styles",
    "pygments/formatters",
)


def strip(root: Path) -> None:
    for name in WHOLE:
        shutil.rmtree(root / name, ignore_errors=True)
    for folder in [p for p in root.rglob("*") if p.is_dir()]:
        if folder.name in FOLDERS:
            shutil.rmtree(folder, ignore_errors=True)
    for pattern in FILES:
        for path in root.rglob(pattern):
            path.unlink()


def compile_once(root: Path, installed: str) -> None:
    """Hash-based and unchecked: no time stamp in the file, and no look at the source when run."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    done = compileall.compile_dir(
        root, quiet=2, workers=0, stripdir=str(root), prependdir=installed, invalidation_mode=mode
    )
    if not done:
        print("strip: some files could not be byte-compiled", file=sys.stderr)


def size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def main() -> None:
    keep, (root, installed) = sys.argv[1] == "--keep", sys.argv[-2:]
    folder = Path(root)
    before = size(folder)
    if not keep:
        strip(folder)
    kept = size(folder)
    compile_once(folder, installed)
    print(
        f"strip: {before / 1e6:.1f} MB, {kept / 1e6:.1f} MB kept; {size(folder) / 1e6:.1f} MB",
        end="",
    )
    print(" with byte code")
    for part in sorted(folder.iterdir(), key=size, reverse=True)[:6]:
        print(f"strip: {size(part) / 1e6:8.1f} MB {part.name}")


if __name__ == "__main__":
    main()
