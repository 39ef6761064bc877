"""The list of what is in an image, made from a root file system."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two packages of dpkg, one unpacked only, one removed; two of Python."""
    dpkg = tmp_path / "root/var/lib/dpkg"
    (dpkg / "status.d").mkdir(parents=True)
    (dpkg / "status").write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\n"
        "Version: 2.36-9+deb12u1\n"
        "Description: words\n of two lines\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n"
        "Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2025b\n"
    )
    (dpkg / "status.d/tini").write_text("Package: tini\nVersion: 0.19.0-1\nArchitecture: arm64\n")
    site = tmp_path / "root/usr/local/lib/python3.11/dist-packages"
    for name, version, licence in (
        ("typing_extensions", "4.16.0", "License-Expression: PSF-2.0"),
        ("msgspec", "0.22.0", "License: BSD, more or less"),
    ):
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{licence}\n"
            "\nName: not this\n"
        )
    return tmp_path / "root"


def purls(document: dict[str, Any]) -> list[str]:
    return [one["externalRefs"][0]["referenceLocator"] for one in document["packages"]]


def test_packages_of_debian_and_python_are_listed_with_their_urls(
    script: Callable[[str], ModuleType], root: Path
) -> None:
    document = script("sbom").document(root, 0)
    assert purls(document) == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=arm64",
        "pkg:deb/debian/tini@0.19.0-1?arch=arm64",
        "pkg:deb/debian/tzdata@2025b?arch=all",
        "pkg:pypi/msgspec@0.22.0",
        "pkg:pypi/typing-extensions@4.16.0",
    ]
    assert [one["licenseDeclared"] for one in document["packages"]][3:] == [
        "NOASSERTION",
        "PSF-2.0",
    ]
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    described = [one["relatedSpdxElement"] for one in document["relationships"]]
    assert described == [one["SPDXID"] for one in document["packages"]]
    assert len(set(described)) == 5


def test_the_same_packages_have_the_same_namespace_and_others_another(
    script: Callable[[str], ModuleType], root: Path
) -> None:
    sbom = script("sbom")
    first = sbom.document(root, 0)["documentNamespace"]
    assert sbom.document(root, 9)["documentNamespace"] == first
    (root / "var/lib/dpkg/status.d/tini").unlink()
    assert sbom.document(root, 0)["documentNamespace"] != first


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docker/sbom.py"), *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BUILDKIT")}
    return subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, check=False
    )


def test_the_builder_gets_a_statement_for_each_root(root: Path, tmp_path: Path) -> None:
    extra, out = tmp_path / "extras/more", tmp_path / "out"
    extra.mkdir(parents=True)
    out.mkdir()
    ended = run(
        BUILDKIT_SCAN_SOURCE=str(root),
        BUILDKIT_SCAN_DESTINATION=str(out),
        BUILDKIT_SCAN_SOURCE_EXTRAS=str(extra.parent),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "sbom: root: 5 packages\nsbom: more: 0 packages\n"
    statement = json.loads((out / "root.spdx.json").read_text())
    assert statement["predicateType"] == "https://spdx.dev/Document"
    assert len(statement["predicate"]["packages"]) == 5
    assert json.loads((out / "more.spdx.json").read_text())["predicate"]["packages"] == []


def test_outside_a_build_it_says_what_it_needs() -> None:
    ended = run()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "sbom: 'BUILDKIT_SCAN_SOURCE' is not set: the builder runs this,"
        " or name a root file system\n"
    )
