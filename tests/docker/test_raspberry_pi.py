"""The commands of docs/raspberry-pi.md that need an engine, with a project of their own."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinytx.measure.record.reading import read_report

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "raspberry-pi.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh docker\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PROJECT = f"tinytx-page-{os.getpid()}"
Shell = Callable[[str], str]


@pytest.fixture
def shell(engine: Any, readable_bundle: Path, tmp_path: Path) -> Iterator[Shell]:
    """Runs commands in a folder with compose.yaml and two bundles; nothing of it stays."""
    for name in ("bundle-1", "bundle-2"):
        shutil.copytree(readable_bundle, tmp_path / name)
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT}

    def run(code: str) -> str:
        code = code.replace("tinytx_data:", f"{PROJECT}_data:")
        ended = subprocess.run(
            ["sh", "-c", code], cwd=tmp_path, env=environment, text=True, capture_output=True
        )
        assert ended.returncode in (0, 7, 8), ended.stderr  # a bench may FAIL or be INVALID here
        return ended.stdout

    yield run
    run("docker compose down --volumes")


def link(shell: Shell) -> str:
    """What the link in the volume points to, and what lies beside it."""
    return shell("docker compose run --rm --entrypoint ls verify /data -og | grep -o 'bundle.*'")


def test_the_commands_of_the_page_install_update_and_fetch(shell: Shell, tmp_path: Path) -> None:
    install, update, remove, _, fetch, straight = BLOCKS
    assert "Once upon a time" in shell(install)
    assert link(shell).split("\n")[0] == "bundle -> bundle-1"
    shell(update)
    assert link(shell).split() == ["bundle", "->", "bundle-2", "bundle-1", "bundle-2"]
    shell(remove)
    assert link(shell).split() == ["bundle", "->", "bundle-2", "bundle-2"]
    shell(fetch)
    first = read_report(tmp_path / "report.json")
    (tmp_path / "report.json").unlink()
    shell(straight)
    assert read_report(tmp_path / "report.json").bundle.id == first.bundle.id


def test_a_folder_in_the_place_of_the_link_becomes_one(shell: Shell) -> None:
    shell("docker compose create verify && docker compose cp bundle-1 verify:/data/bundle")
    shell(BLOCKS[3])
    assert link(shell).split() == ["bundle", "->", "bundle-1", "bundle-1"]
    assert "golden tokens" in shell("docker compose run --rm verify 2>&1")
