"""Write docker/locks/*.txt: every package of every image, exact version and sha256.

    python3 docker/lock.py               refresh all locks (needs pip 23 or newer, and the network)
    python3 docker/lock.py runtime       only those whose name begins with a word

pip resolves for the image's platform and Python, not for the machine that this runs on. Nothing is
installed. A lock holds one wheel's hash per package, since an image is built for one platform.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = "3.11"  # of debian:bookworm-slim
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17")
TORCH = {"amd64": "torch==2.13.0", "arm64": "torch==2.8.0"}
TEST = ["pytest>=8", "hypothesis>=6.100"]
BUILD = ["hatchling>=1.25"]
PIP = """
import platform, sys
platform.machine = lambda: {machine!r}
platform.python_version = lambda: {python!r} + ".2"
platform.python_version_tuple = lambda: (*{python!r}.split("."), "2")
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""  # pip takes wheels for --platform, but evaluates markers for the machine that it runs on


def requirements(image: str, platform: str) -> list[str]:
    """What goes into an image, from pyproject.toml; torch's markers speak of the machine here."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    if image == "build":
        return BUILD
    extra = project["optional-dependencies"]
    if image == "runtime":
        return [*project["dependencies"], *extra["serve"]]
    heavy = [line for line in extra["export"] if not line.startswith("tinytx")]
    return [*project["dependencies"], *heavy, *TEST, TORCH[platform]]


def resolve(wanted: list[str], platform: str) -> list[dict[str, object]]:
    """pip's own report of what it would install."""
    tags = [f"manylinux_{glibc}_{PLATFORMS[platform]}" for glibc in GLIBC]
    tags += [f"manylinux2014_{PLATFORMS[platform]}"]
    pip = PIP.format(machine=PLATFORMS[platform], python=PYTHON)
    command = [sys.executable, "-c", pip, "install", "-qq", "--dry-run", "--report", "-"]
    command += ["--ignore-installed", "--only-binary=:all:", "--python-version", PYTHON]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--target", folder]
        for tag in tags:
            command += ["--platform", tag]
        found = subprocess.run([*command, *wanted], check=True, stdout=subprocess.PIPE)
    report: dict[str, list[dict[str, object]]] = json.loads(found.stdout)
    return report["install"]


def lines(packages: list[dict[str, object]]) -> list[str]:
    """One requirement with its hash per package, by name."""
    written = []
    for package in packages:
        metadata, origin = package["metadata"], package["download_info"]
        assert isinstance(metadata, dict) and isinstance(origin, dict)
        name, version = str(metadata["name"]).lower().replace("_", "-"), metadata["version"]
        written.append(f"{name}=={version} --hash=sha256:{hash_of(origin)}")
    return sorted(written)


def hash_of(origin: dict[str, object]) -> str:
    """From the index; a wheel that lies in a folder has none there, so it is hashed here."""
    archive = origin.get("archive_info")
    if isinstance(archive, dict):
        if "sha256" in archive.get("hashes", {}):
            return str(archive["hashes"]["sha256"])
        if str(archive.get("hash", "")).startswith("sha256="):
            return str(archive["hash"]).removeprefix("sha256=")
    import hashlib
    from urllib.parse import unquote, urlsplit

    path = Path(unquote(urlsplit(str(origin["url"])).path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    chosen = sys.argv[1:]
    names = [("build", "amd64"), *((i, p) for i in ("runtime", "train") for p in PLATFORMS)]
    for image, platform in names:
        name = "build.txt" if image == "build" else f"{image}-{platform}.txt"
        if chosen and not any(name.startswith(word) for word in chosen):
            continue
        found = lines(resolve(requirements(image, platform), platform))
        head = f"# Written by docker/lock.py for Python {PYTHON}: do not edit.\n"
        (HERE / "locks" / name).write_text(head + "\n".join(found) + "\n")
        print(f"{name}: {len(found)} packages", file=sys.stderr)


if __name__ == "__main__":
    main()
