"""docs/examples: files are what they say, their table is today's, the page's commands run."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.running import KINDS, execute, programs, understood
from tinytx.config import MAX_PARAMETERS, load_settings
from tinytx.presets import PRESETS

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
PAGE = FOLDER / "README.md"
OWN = FOLDER / "own-text.toml"


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_file_named_like_a_preset_means_the_same(name: str) -> None:
    preset = load_settings(preset=PRESETS[name].settings)
    assert load_settings(FOLDER / f"{name}.toml") == preset


def test_the_file_for_an_own_text_is_that_of_the_stored_run() -> None:
    stored = json.loads((FOLDER.parent / "guide" / "data" / "overfitting.json").read_text())
    command = stored["runs"][1]["command"]
    training = load_settings(OWN).training
    for flag, value in (
        ("--epochs", training.epochs),
        ("--pair-dropout", training.pair_dropout),
        ("--table-weight-decay", training.table_weight_decay),
        ("--dropout", training.dropout),
    ):
        assert f"{flag} {value:g}" in command


def test_every_file_is_on_the_page_and_within_the_limit_of_weights() -> None:
    text = PAGE.read_text("utf-8")
    files = [path for path in FOLDER.iterdir() if path.suffix in (".toml", ".py")]
    assert len(files) >= 8
    for path in files:
        assert path.name in text, path.name
        if path.suffix == ".toml":
            assert load_settings(path, searching=True).parameters <= MAX_PARAMETERS


def test_the_table_is_what_the_script_writes() -> None:
    text = PAGE.read_text("utf-8")
    filled = runpy.run_path(str(FOLDER / "table.py"))["filled"]
    assert text.count(".toml](") >= 6
    assert filled(text) == text, "python3 docs/examples/table.py writes it again"
    assert filled(text.replace("1:53 min", "1:54 min")) == text


def test_every_block_says_what_it_is_and_a_shell_understands_it() -> None:
    for block in blocks_of(PAGE):
        assert KINDS.fullmatch(block.kind), (block.line, block.kind)
        assert list(understood(block)) == [], block.line


@pytest.mark.guide
def test_the_commands_of_the_page_run_in_their_order(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("optuna", reason="the sweep needs '.[sweep]'")
    for path in FOLDER.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    assert execute(PAGE, tmp_path, programs(tmp_path_factory.mktemp("programs"))) >= 6
