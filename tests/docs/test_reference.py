"""The generated pages are what the code says now, and nothing in them is undocumented."""

import importlib
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from tinytx.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
TOOLS = ROOT / "docs" / "tools"


def tool(name: str) -> ModuleType:
    """A module of docs/tools, which is no package."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = tool("reference").made()
    return made


def test_no_page_of_the_reference_is_stale(pages: dict[str, str]) -> None:
    now = {name: (REFERENCE / name).read_text(encoding="utf-8") for name in pages}
    stale = [name for name in pages if now[name] != pages[name]]
    assert stale == [], "run python docs/tools/reference.py"


def test_nothing_in_the_reference_is_undocumented(pages: dict[str, str]) -> None:
    lines = [line for text in pages.values() for line in text.splitlines()]
    assert [line for line in lines if tool("md").UNDOCUMENTED in line] == []


def test_a_changed_default_and_a_missing_page_are_told(
    pages: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = tool("reference")
    monkeypatch.setattr(reference, "made", lambda: pages)
    folder = shutil.copytree(REFERENCE, tmp_path / "reference")
    settings = (folder / "settings.md").read_text()
    changed = settings.replace(
        "| `epochs` | whole number | at least 1, at most 2^53 | `20` |", "| |"
    )
    assert changed != settings
    (folder / "settings.md").write_text(changed)
    (folder / "errors.md").unlink()
    assert reference.stale(folder) == ["settings.md", "errors.md"]
    monkeypatch.setattr(reference.stale, "__defaults__", (folder,))
    assert reference.main(["--check"]) == 1
    assert "settings.md is stale: run python docs/tools/reference.py" in capsys.readouterr().out
    assert reference.main(["--chekc"]) == 64


def test_every_command_and_each_of_its_flags_is_on_the_page(pages: dict[str, str]) -> None:
    page = pages["commands.md"]
    every = list(tool("reference_commands").commands(cli, ()))
    assert {path[0] for path, _ in every} == set(COMMANDS)
    for path, command in every:
        part = page.split(f"## {' '.join(('tinytx', *path))}\n")[1].split("\n## ")[0]
        flags = [flag for one in command.params for flag in one.opts if flag.startswith("--")]
        assert [flag for flag in flags if not re.search(rf"`.*{flag}\b", part)] == [], path


def test_a_flag_without_help_is_found() -> None:
    command = click.Command("new", help="Does it.", params=[click.Option(["--planted"])])
    told = tool("reference_commands").section(("new",), command)
    assert "- `--planted TEXT`: undocumented" in told
    assert "\nundocumented" in tool("reference_commands").section(("new",), click.Command("new"))


def settings_advice() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads((REFERENCE / "settings.toml").read_text(encoding="utf-8"))


def test_what_is_said_of_settings_is_said_of_settings_that_there_are() -> None:
    from tinytx.config import SECTIONS

    known = {f"{s}.{name}" for s, struct in SECTIONS.items() for name in struct.__struct_fields__}
    said = {f"{s}.{name}" for s, fields in settings_advice().items() for name in fields}
    assert said == known
    for fields in settings_advice().values():
        for name, columns in fields.items():
            assert tuple(columns) == tool("reference_settings").KEYS, name


def test_a_measured_effect_names_its_run_and_what_is_not_measured_says_so() -> None:
    for fields in settings_advice().values():
        for name, columns in fields.items():
            told = columns["measured"]
            figures = re.search(r"\d\.\d{3}", told)
            assert not figures or "](../log/" in told, name
            assert figures or re.match("none|not measured|alone: not measured|with ", told), name


def test_words_for_fields_are_of_fields_without_words_of_their_own() -> None:
    """Else one of two texts for a field rots unseen."""
    formats, docs = tool("reference_formats"), tool("docstrings")
    words: dict[str, dict[str, str]] = dict(formats.extra())
    for file in formats.files():
        for kind in formats.reachable(file.root) if file.root else ():
            names = {name.removeprefix("machine.") for name, _, _ in formats.fields(kind)}
            told = docs.fields(kind)
            own = {name for name in names if told.get(formats.attribute(kind, name))}
            said = set(words.pop(kind.__name__, {}))
            assert said <= names - own, kind
    assert words == {}, "no such class is in a file"


def keys(document: Any, depth: int = 0) -> set[str]:
    """Names of the fields of a document, to the depth that structs have."""
    if isinstance(document, list):
        return {key for one in document for key in keys(one, depth)}
    if not isinstance(document, dict):
        return set()
    return set(document) | {key for one in document.values() for key in keys(one, depth + 1)}


def test_every_key_of_a_stored_report_is_on_the_page(pages: dict[str, str]) -> None:
    report = json.loads((ROOT / "tests" / "fixtures" / "report-1.json").read_text())
    for free in ("settings",):  # the scenarios, which have tables of their own
        report.pop(free)
    for table in ("files", "sha256"):
        report["bundle"].pop(table, None)
    report["machine"] = {
        name: look for name, look in report["machine"].items() if name in ("neighbours", "breaches")
    }
    told = set(re.findall(r"`(?:machine\.)?(\w+)`", pages["formats.md"]))
    assert keys(report) - told - {"machine"} == set()


def test_a_new_error_is_found_wherever_its_message_comes_from(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(
        "def one(path, often):\n"
        "    raise UsageError(f'{path.name} is planted {often:,} times', 'remedy')\n"
        "def two():\n"
        "    raise CorpusError(_why())\n"
        "def _why():\n"
        "    return 'this is' if x else 'or that'\n"
        "def three():\n"
        "    message = 'one of ' + 'two parts'\n"
        "    return BundleError(message)\n"
        "def four():\n"
        "    with os_errors_as(TrainingError, 'write it'):\n"
        "        raise msgspec.ValidationError('none of ours')\n"
    )
    found = {(one.kind, one.text) for one in tool("reference_errors").messages(tmp_path)}
    assert found == {
        ("UsageError", "{name} is planted {often} times"),
        ("CorpusError", "this is"),
        ("CorpusError", "or that"),
        ("BundleError", "one of two parts"),
        ("TrainingError", "cannot write it: {the system's reason}"),
    }


def test_every_exit_code_is_on_the_page_once_for_each_class(pages: dict[str, str]) -> None:
    from tinytx import errors

    for name, kind in tool("reference_errors").classes().items():
        if kind is not errors.TinytxError:
            assert re.search(
                rf"^\| `{kind.exit_code}` \| .* \| `{name}` \|$", pages["errors.md"], re.M
            )
