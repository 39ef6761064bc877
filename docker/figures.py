"""The figures of the images, in one command: sizes, start to first token, rebuild, inside/outside.

    python3 docker/figures.py [--bundle DIR] [--rounds N]

Needs the images, the compose volume with a bundle, and tinytx installed here. Inside and outside
are compared in rounds, the order turned round every time: in the container under the
constitution's limits; the image's own files without a container (root only: same Python, same
libraries); and this Python with its own libraries. The ratio of each round is taken, then the
median of all with its 95 % interval (order statistics): what slows the machine for a while slows
both.
"""

import argparse
import json
import math
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
GENERATE = [
    PROMPT, "--max-tokens", "4000", "--when-full", "slide", "--temperature", "0",
    "--threads", "1", "--json",
]  # fmt: skip
RUNS = 7
UNCONFINED = 'mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/tmp"; exec chroot "$0" "$@"'


def saved(tag: str, small: int = 1_000_000) -> dict[str, tuple[int, bytes]]:
    """Every file of the saved image by its last name: its size, and what is in it when small."""
    blobs: dict[str, tuple[int, bytes]] = {}
    process = subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        for member in archive:
            body: IO[bytes] | None = archive.extractfile(member) if member.isfile() else None
            kept = body.read() if body and member.size < small else b""
            blobs[member.name.rpartition("/")[2]] = (member.size, kept)
    if process.wait():
        sys.exit(f"docker save {tag} failed: is it built?")
    return blobs


def manifests(blobs: dict[str, tuple[int, bytes]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each entry of the image's index that is here, with its manifest."""

    def read(digest: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(blobs[digest.removeprefix("sha256:")][1])
        return document

    index = json.loads(blobs["index.json"][1])["manifests"][0]["digest"]
    entries = read(index).get("manifests", [])
    here = [one for one in entries if one["digest"].removeprefix("sha256:") in blobs]
    return [(one, read(one["digest"])) for one in here]


def sizes(tag: str) -> dict[str, list[float]]:
    """Compressed bytes of each layer, in MB, by architecture."""
    found = {}
    for entry, manifest in manifests(saved(tag)):
        architecture = entry.get("platform", {}).get("architecture", "unknown")
        if architecture != "unknown":  # an attestation
            found[architecture] = [layer["size"] / 1e6 for layer in manifest["layers"]]
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
        for part in ("tinytx", "bench", "deploy", "docker", "tests"):
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


def places(bundle: Path, folder: Path) -> dict[str, list[str]]:
    """The commands that are compared; the last one is what the others are related to."""
    core = str(max(os.sched_getaffinity(0)))
    mount = ["-v", f"{bundle}:/data/bundle:ro", "--cpuset-cpus", core]
    locked = ["--network", "none", "--read-only", "--memory", "512000000", "--cpus", "1"]
    locked += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    inside = ["docker", "run", "--rm", *locked, "--tmpfs", "/tmp", *mount, "tinytx:runtime"]
    found = {"in the container": [*inside, "generate", "/data/bundle"]}
    python = ["-P", "-m", "tinytx.cli.main", "generate"]
    if os.getuid() == 0:
        unpack(folder)
        shutil.copytree(bundle, folder / "data/bundle")
        bare = ["taskset", "-c", core, "unshare", "--mount", "sh", "-c", UNCONFINED, str(folder)]
        found["the same files without a container"] = [
            *bare, "/usr/bin/python3", *python, "/data/bundle",
        ]  # fmt: skip
    found["this machine's Python and libraries"] = [
        "taskset", "-c", core, sys.executable, *python, str(bundle),
    ]  # fmt: skip
    return found


def unpack(folder: Path) -> None:
    """The image's root file system."""
    made = subprocess.run(
        ["docker", "create", "tinytx:runtime"], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        exported = subprocess.Popen(["docker", "export", made], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(folder)], stdin=exported.stdout, check=True)
        exported.wait()
    finally:
        subprocess.run(["docker", "rm", "-f", made], check=False, stdout=subprocess.DEVNULL)


def speeds(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Tokens per second of each command, in turns; the first round only warms the caches."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    order = list(commands)
    for number in range(rounds + 1):
        for name in order if number % 2 else reversed(order):
            ended = subprocess.run([*commands[name], *GENERATE], check=True, capture_output=True)
            (made,) = json.loads(ended.stdout)["generations"]
            if number:
                found[name].append(made["tokens"] / made["seconds"])
    return found


def middle(values: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval: order statistics of the binomial distribution."""
    ordered, count = sorted(values), len(values)
    low, tail = 0, 0.5**count
    while low < count // 2 and tail + math.comb(count, low + 1) * 0.5**count <= 0.025:
        low += 1
        tail += math.comb(count, low) * 0.5**count
    return statistics.median(ordered), ordered[low], ordered[count - 1 - low]


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
    parser.add_argument("--rounds", type=int, default=24, help="of inside and outside (24)")
    chosen = parser.parse_args()
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
        (root := Path(name) / "root").mkdir()
        bundle = (chosen.bundle or from_volume(Path(name))).resolve()
        found = speeds(places(bundle, root), chosen.rounds)
    inside = found.pop("in the container")
    print(f"tokens per second in the container: median {statistics.median(inside):.0f}")
    for place, outside in found.items():
        ratio, low, high = middle([a / b for a, b in zip(inside, outside, strict=True)])
        print(
            f"{place}: median {statistics.median(outside):.0f}; the container has {ratio:.3f} of "
            f"it (95 %: {low:.3f} to {high:.3f}, {len(outside)} rounds)"
        )
    print(f"rebuild of both platforms after a change of one line: {rebuild():.1f} s")


if __name__ == "__main__":
    main()
