"""The figures of the images, in one command: sizes, start to first token, rebuild, inside/outside.

    python3 docker/figures.py [--bundle DIR]

Needs the images, the compose volume with a bundle, and tinytx installed here. Minima are compared,
runs inside and outside the container alternate: other programs only ever make a run slower.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "Once upon a time"
GENERATE = [PROMPT, "--max-tokens", "200", "--temperature", "0", "--threads", "1", "--json"]
RUNS = 7


def sizes(tag: str) -> dict[str, list[float]]:
    """Compressed bytes of each layer, in MB, by architecture."""
    blobs: dict[str, tuple[int, bytes]] = {}
    saved = subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
    assert saved.stdout is not None
    with tarfile.open(fileobj=saved.stdout, mode="r|") as archive:
        for member in archive:
            body: IO[bytes] | None = archive.extractfile(member) if member.isfile() else None
            small = body.read() if body and member.size < 200_000 else b""
            blobs[member.name.rpartition("/")[2]] = (member.size, small)
    saved.wait()

    def read(name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(blobs[name][1])
        return document

    def digest(entry: dict[str, Any]) -> str:
        return str(entry["digest"]).removeprefix("sha256:")

    found = {}
    for entry in read(digest(read("index.json")["manifests"][0])).get("manifests", []):
        architecture = entry.get("platform", {}).get("architecture", "unknown")
        if architecture != "unknown" and digest(entry) in blobs:
            layers = read(digest(entry))["layers"]
            found[architecture] = [layer["size"] / 1e6 for layer in layers]
    return found


def first_token() -> list[float]:
    """Seconds from the command to the first byte of text, through docker compose."""
    command = ["docker", "compose", "run", "--rm", "-T", "generate", PROMPT, "--stream"]
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        if len(child.stdout.read(len(PROMPT.encode()) + 1)) <= len(PROMPT.encode()):
            sys.exit("docker compose run generate printed nothing: is there a bundle?")
        taken.append(time.perf_counter() - began)
        child.communicate()
    return taken


def rebuild() -> float:
    """Seconds to build both platforms of the runtime image after a change of one line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("tinytx", "bench", "docker", "tests"):
            shutil.copytree(ROOT / part, folder / part)
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, folder / part)
        bake(folder)
        with (folder / "tinytx/errors.py").open("a") as source:
            source.write(f"\n# changed at {time.time()}\n")
        began = time.perf_counter()
        bake(folder)
        return time.perf_counter() - began


def bake(folder: Path) -> None:
    command = ["docker", "buildx", "bake", "-f", "docker/bake.hcl", "--progress", "quiet"]
    command += ["--set", "runtime.tags=tinytx:rebuild", "runtime"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def speeds(bundle: Path) -> tuple[list[float], list[float]]:
    """Tokens per second inside and outside the container, alternating."""
    mount = ["-v", f"{bundle}:/data/bundle:ro"]
    locked = ["--network", "none", "--read-only", "--memory", "512000000", "--cpus", "1"]
    inside = ["docker", "run", "--rm", *locked, "--tmpfs", "/tmp", *mount, "tinytx:runtime"]
    inside += ["generate", "/data/bundle"]
    outside = [sys.executable, "-P", "-m", "tinytx.cli.main", "generate", str(bundle)]
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for command, into in zip((inside, outside), found, strict=True):
            ended = subprocess.run([*command, *GENERATE], check=True, capture_output=True)
            (made,) = json.loads(ended.stdout)["generations"]
            into.append(made["tokens"] / made["seconds"])
    return found


def from_volume(folder: Path) -> Path:
    """Copy the bundle out of the compose volume."""
    name = f"{os.environ.get('COMPOSE_PROJECT_NAME', 'tinytx')}_data"
    made = subprocess.run(
        ["docker", "create", "-v", f"{name}:/data", "tinytx:runtime"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    try:
        subprocess.run(
            ["docker", "cp", "-q", f"{made}:/data/bundle", str(folder / "bundle")], check=True
        )
    finally:
        subprocess.run(["docker", "rm", "-f", made], check=False, stdout=subprocess.DEVNULL)
    return folder / "bundle"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the figures of the images.")
    parser.add_argument("--bundle", type=Path, help="by default the one in the compose volume")
    chosen = parser.parse_args().bundle
    for tag in ("tinytx:runtime", "tinytx:train"):
        for architecture, layers in sizes(tag).items():
            parts = ", ".join(f"{size:.1f}" for size in layers if size >= 0.05)
            print(f"{tag} {architecture}: {sum(layers):.1f} MB compressed (layers {parts})")
    taken = first_token()
    print(
        f"compose run generate, start to first token: median {statistics.median(taken):.2f} s, "
        f"least {min(taken):.2f} s of {RUNS}"
    )
    with tempfile.TemporaryDirectory() as name:
        inside, outside = speeds(chosen or from_volume(Path(name)))
    print(
        f"tokens per second, best of {RUNS}: inside {max(inside):.0f}, outside {max(outside):.0f}, "
        f"ratio {max(inside) / max(outside):.3f}; ratio of medians "
        f"{statistics.median(inside) / statistics.median(outside):.3f}"
    )
    print(f"rebuild of both platforms after a change of one line: {rebuild():.1f} s")


if __name__ == "__main__":
    main()
