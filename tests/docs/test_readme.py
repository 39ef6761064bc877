"""The README tells the truth: its commands exist, its Python runs, its figures are the code's."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tinytx import errors
from tinytx.cli.main import COMMANDS, cli
from tinytx.cli.settings.fields import fields
from tinytx.config import Settings
from tinytx.measure.policy.budgets import load_budgets

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, re.M)


def commands() -> Iterator[str]:
    """Every command of ours that a block holds, without what is printed."""
    for block in BLOCKS:
        for line in block.splitlines():
            for part in line.partition("  #")[0].split("&&"):
                if part.strip().startswith("tinytx "):
                    yield part.strip()
            if match := re.search(r"docker compose run --rm (.*)", line):
                yield f"tinytx {match[1]}"


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_of_the_readme_is_one_that_tinytx_takes(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    context = click.Context(cli, info_name="tinytx")
    command = cli.get_command(context, name)
    assert command is not None, name
    command.make_context(name, list(words), parent=context)


def test_there_are_commands_to_test() -> None:
    assert len(list(commands())) >= 15


def test_the_python_of_the_readme_runs(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bundle").symlink_to(tiny_bundle)
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in BLOCKS if "from tinytx import" in block)
    exec(compile(re.sub("^    ", "", block, flags=re.M), "README.md", "exec"), {})
    *_, figure = capsys.readouterr().out.split()
    assert re.search(r"\d\.\d+$", figure)


def test_the_table_of_commands_is_complete_and_in_order() -> None:
    assert re.findall(r"^\| `tinytx (\w+)` \|", TEXT, re.M) == list(COMMANDS)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    (told,) = re.findall(r"Exit codes:\s(.*?)\.\n", TEXT, re.S)
    numbers = {int(number) for number in re.findall(r"\b(\d+) ", f"{told} ")}
    kinds = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)
             and issubclass(kind, errors.TinytxError)}  # fmt: skip
    assert numbers == kinds | {0, errors.EXIT_BUG}


def test_the_model_is_the_default_one() -> None:
    settings = Settings()
    shape = settings.model
    assert f"{shape.layers} layers of width {shape.width} over" in TEXT
    assert f"over {settings.tokenizer.vocab_size:,} SentencePiece pieces" in TEXT
    assert f"a context of {shape.max_seq_length} tokens" in TEXT
    weights = settings.parameters
    assert f"{weights:,} parameters" in TEXT
    (size,) = re.findall(r"([\d.]+) MB in float32", TEXT)
    assert 4 * weights <= float(size) * 1e6 < 4 * weights + 100_000  # the graph around them
    embedding = settings.tokenizer.vocab_size * shape.width
    products = shape.layers * (4 * shape.width**2 + 3 * shape.width * shape.hidden) + embedding
    assert f"{products:,} take" in TEXT
    assert f"[{len(fields())} settings](docs/reference/settings.md)" in TEXT


def test_the_limits_in_the_table_are_the_constitutions() -> None:
    for budget in load_budgets():
        sign = "<" if budget.strict else "<="
        row = rf"│ {re.escape(budget.title)} +│ +{sign} {re.escape(str(budget.limit))} │"
        assert re.search(row, TEXT), budget


def test_the_first_screen_says_what_it_is_and_how_to_start() -> None:
    first = "\n".join(TEXT.splitlines()[:24])
    for words in ("text in", "tinytx quickstart", "-m venv", "pytest", "CUDA"):
        assert words in first
    assert len(TEXT.splitlines()) < 170
