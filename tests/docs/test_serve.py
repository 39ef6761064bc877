"""docs/serve.md: what it tells people to type is typed, against a real server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.docs.blocks import blocks_of
from tests.serve.process import Server, serving
from tests.serve.schemas import Schemas
from tinytx.cli.serve.command import command

PAGE = Path(__file__).parents[2] / "docs/serve.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = blocks_of(PAGE)
ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    with serving(tiny_bundle) as running:
        yield running


def typed(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_what_is_typed_in_a_shell_is_answered(server: Server) -> None:
    (block,) = [block.code for block in BLOCKS if block.kind == "sh run"]
    lines = [line for line in block.splitlines() if line]
    assert len(lines) == 6
    answers = []
    for line in lines:
        words = line.replace(ADDRESS, server.address)
        answers.append(typed(["sh", "-c", words]))
    whole, streamed, scored, health, metrics, description = answers
    assert json.loads(whole)["choices"][0]["finish_reason"] == "length"
    assert streamed.rstrip().endswith("data: [DONE]")
    assert json.loads(scored)["bits_per_byte"] > 0
    assert json.loads(health)["status"] == "ok"
    assert "tinytx_slots 32.0" in metrics
    assert "/v1/completions" in json.loads(description)["paths"]


def test_the_health_that_the_page_shows_is_as_the_server_tells_it(server: Server) -> None:
    (shown,) = re.findall(r"^```json health\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    schemas = Schemas(server.ask("/openapi.json")[1])
    document = json.loads(shown)
    assert schemas.wrong(document, {"$ref": "#/components/schemas/Health"}) == ""
    assert set(document) == set(server.ask("/health")[1])


def test_what_is_run_in_python_prints_a_text(server: Server) -> None:
    (block,) = [block.code for block in BLOCKS if block.kind == "python run"]
    script = block.replace(ADDRESS, server.address)
    assert typed([sys.executable, "-c", script]).strip()


def test_the_flags_and_defaults_of_the_page_are_those_of_the_command() -> None:
    told = CliRunner().invoke(command, ["--help"], terminal_width=200).output
    rows = re.findall(r"^\| `(--[\w-]+)` \| (\w+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 4
    defaults = {option.opts[0]: option.default for option in command.params}
    for flag, default in rows:
        assert flag in told
        assert str(defaults[flag] or "any").removesuffix(".0") == default
    for flag in re.findall(r"`(--[\w-]+)", TEXT):
        assert flag in told or flag == "--serve", flag
