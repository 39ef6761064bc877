"""What is attached to the images, and what a build says that cannot reach its packages."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def attached(engine: Any, script: Callable[[str], ModuleType]) -> dict[str, dict[str, Any]]:
    """The runtime image's attestations: by architecture, then by the type of the statement."""
    figures = script("figures")
    blobs = figures.saved("tinytx:runtime")
    found = figures.manifests(blobs)
    architecture = {one["digest"]: one["platform"]["architecture"] for one, _ in found}
    statements: dict[str, dict[str, Any]] = {}
    for entry, manifest in found:
        image = entry.get("annotations", {}).get("vnd.docker.reference.digest")
        if image is None:
            continue
        for layer in manifest["layers"]:
            statement = json.loads(blobs[layer["digest"].removeprefix("sha256:")][1])
            kind = statement["predicateType"].rpartition("://")[2].partition("/")[0]
            statements.setdefault(architecture[image], {})[kind] = statement["predicate"]
    return statements


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_list_of_contents_has_exactly_the_locked_packages(
    attached: dict[str, dict[str, Any]], architecture: str
) -> None:
    lock = (ROOT / f"docker/locks/runtime-{architecture}.txt").read_text()
    locked = dict(re.findall(r"^([^#=\s]+)==(\S+)", lock, re.MULTILINE))
    packages = attached[architecture]["spdx.dev"]["packages"]
    urls = [one["externalRefs"][0]["referenceLocator"] for one in packages]
    python = dict(re.findall(r"pkg:pypi/([^@\n]+)@(\S+)", "\n".join(urls)))
    assert python.pop("tinytx")
    assert python == locked
    debian = [url for url in urls if url.startswith("pkg:deb/debian/")]
    assert any(url.startswith("pkg:deb/debian/python3.11-minimal@3.11.") for url in debian)
    assert any(url.startswith("pkg:deb/debian/libc6@2.36") for url in debian)
    assert {url.rpartition("=")[2] for url in debian} == {architecture, "all"}


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_provenance_names_the_base_and_the_stage(
    attached: dict[str, dict[str, Any]], architecture: str
) -> None:
    provenance = json.dumps(attached[architecture]["slsa.dev"])
    assert "pkg:docker/debian@bookworm-slim" in provenance
    assert '"target": "runtime"' in provenance


def build(*options: str) -> str:
    """What a build that fails says."""
    command = ["docker", "buildx", "build", "--progress", "plain", "-f", "docker/Dockerfile"]
    command += ["--provenance", "false", *options, "."]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    return ended.stderr


def test_a_build_without_network_says_what_could_not_be_reached(engine: Any) -> None:
    said = build("--target", "tools", "--network", "none", "--no-cache-filter", "tools")
    assert "Debian's packages cannot be reached from the build: see docs/images.md" in said


def test_a_package_index_that_does_not_answer_is_told_with_the_settings(engine: Any) -> None:
    said = build("--target", "packages", "--build-arg", "PIP_INDEX_URL=http://127.0.0.1:9/simple")
    assert "the packages of /lock.txt could not be installed" in said
    assert "PIP_INDEX_URL and the build secret ca" in said
