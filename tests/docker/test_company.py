"""A text does not depend on who else is served, on processors of several kinds, as QEMU has them:
what `tinytx serve` would serve there has the same bits alone and in any company."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.docker import documents
from tests.docker.conftest import ROOT, readable
from tests.fixtures import shapes

pytestmark = pytest.mark.docker
Run = Callable[..., tuple[int, str]]
SLOTS = 20
LOOK = f"""
import json, sys
from pathlib import Path
import numpy as np
from tinytx.bundle import Bundle
from tinytx.serve import startup

def steps(batch, company):
    rows = [[(31 * row + 7 * at) % 320 for at in range(2 + row % 7)] for row in range(company)]
    return startup._logits(batch, rows)

found = {{}}
for folder in sys.argv[1:]:
    bundle = Bundle(Path(folder))
    for precision in bundle.manifest.precisions:
        (trial,) = startup.choose(bundle, {SLOTS}, precision)[2]
        batch = startup._load(bundle, precision, {SLOTS}, trial.tile)
        everyone = [steps(batch, company) for company in range(1, {SLOTS} + 1)]
        same = all(np.array_equal(one, everyone[-1][:, : one.shape[1]]) for one in everyone)
        found[f"{{Path(folder).name}} {{precision}}"] = (trial.tile, same)
print(json.dumps(found))
"""
"""Looks, and then tries what was chosen in every company, with rows that the look did not have."""


@pytest.fixture(scope="session")
def random_bundles(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for name, shape in shapes.SHAPES.items():
        readable(shapes.make(tiny_bundle, folder / name, shape))
    return folder


def check(out: str, partial: dict[str, int]) -> None:
    """Every company has the same bits, and ``partial`` are those that whole tiles had to mend."""
    found: dict[str, tuple[int, bool]] = documents.first(out)
    assert len(found) == 3 * len(shapes.SHAPES)
    assert all(same for _, same in found.values()), found
    assert {name: tile for name, (tile, _) in found.items() if tile != 1} == partial


INT4 = [f"{name} int4" for name in shapes.SHAPES]
QUANTISED = [f"{name} {precision}" for name in shapes.SHAPES for precision in ("int8", "int4")]


@pytest.mark.parametrize(
    ("processor", "partial"),
    [
        ("cortex-a53", dict.fromkeys(INT4, 2)),
        ("cortex-a72", dict.fromkeys(INT4, 2)),
        ("cortex-a76", {"2x80 int4": 4, "2x160 int4": 4}),
    ],
)
def test_every_company_has_the_same_bits_on_a_raspberry_pi(
    run: Run, random_bundles: Path, processor: str, partial: dict[str, int]
) -> None:
    status, out = run(
        "verify",
        ["-P", "-c", LOOK, *(f"/shapes/{name}" for name in shapes.SHAPES)],
        entrypoint=["python3"],
        platform="linux/arm64",
        volumes={str(random_bundles): {"bind": "/shapes", "mode": "ro"}},
        environment={"QEMU_CPU": processor},
        mem_limit="2g",
        memswap_limit="2g",
    )
    assert status == 0, out
    check(out, partial)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """QEMU's x86-64 in user mode: the system's, or Debian's package unpacked."""
    if found := shutil.which("qemu-x86_64"):
        return found
    folder = tmp_path_factory.mktemp("qemu")
    words: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True}
    if not shutil.which("apt-get"):
        pytest.skip("no qemu-x86_64 here, and no apt-get to fetch it with")
    if subprocess.run(["apt-get", "download", "qemu-user"], **words).returncode:
        pytest.skip("no qemu-x86_64 here, and Debian's qemu-user could not be fetched")
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), "."], check=True, **words)
    return str(folder / "usr/bin/qemu-x86_64")


@pytest.mark.parametrize(
    ("processor", "partial"),
    [("SandyBridge", dict.fromkeys(QUANTISED, 2)), ("Haswell", dict.fromkeys(INT4, 2))],
)
def test_every_company_has_the_same_bits_on_a_processor_without_vnni(
    emulator: str, random_bundles: Path, processor: str, partial: dict[str, int]
) -> None:
    path = f"{ROOT}:{Path(numpy.__file__).parents[1]}"
    interpreter = str(Path(sys.executable).resolve())
    folders = [str(random_bundles / name) for name in shapes.SHAPES]
    found = subprocess.run(
        [emulator, "-cpu", processor, interpreter, "-P", "-c", LOOK, *folders],
        env={"PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert found.returncode == 0, found.stderr
    check(found.stdout, partial)
