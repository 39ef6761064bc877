"""The examples of docs/python-api.md run, in order, and its tables are true."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinytx
from tests.docs.blocks import blocks_of, difference

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"
EXAMPLES = [block for block in blocks_of(PAGE) if block.kind == "python"]


def test_the_examples_run_in_order_and_print_what_the_page_says(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(EXAMPLES) >= 6
    names: dict[str, object] = {"bundle": tiny_bundle}
    assert sum(bool(example.printed) for example in EXAMPLES) == 1
    for example in EXAMPLES:
        capsys.readouterr()
        exec(compile(example.code, str(PAGE), "exec"), names)
        found = capsys.readouterr().out
        assert example.printed is None or not difference(example.printed, found)


def test_the_table_of_options_is_the_signature() -> None:
    signature = inspect.signature(tinytx.Engine.generate)
    options = {
        name: repr(parameter.default).replace("'", '"')
        for name, parameter in signature.parameters.items()
        if name not in ("self", "prompt")
    }
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == options


def test_the_page_names_everything_that_is_public() -> None:
    text = PAGE.read_text("utf-8")
    for name in set(tinytx.__all__) - {"__version__", "Score"}:
        assert f"from tinytx import {name}" in text, name


@pytest.mark.long
def test_a_type_checker_knows_the_api(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "from tinytx import Engine, Outcome\n"
        "engine = Engine.load('x')\n"
        "pieces: list[str] = list(engine.generate('a', when_full='slide', outcome=Outcome()))\n"
        "bits: float = engine.score('a').bits_per_byte\n"
        "engine.generate('a', when_full='grow')\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", program],
        cwd=PAGE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert result.stdout.count("error:") == 1, result.stdout
    assert 'program.py:5: error: Argument "when_full"' in result.stdout
