"""The flags that stand for settings: one each, their names in messages, repetition, presets."""

import json
import subprocess
import sys
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

from tinytx.cli.settings.fields import Field, docstrings, fields
from tinytx.cli.settings.options import SettingOption, settings_of
from tinytx.cli.train import command as train
from tinytx.config import SECTIONS, Settings, as_dict
from tinytx.errors import UsageError
from tinytx.presets import PRESETS

EXAMPLES: dict[str, object] = {
    "corpus.path": ("a.txt",),
    "corpus.url": "file:///a.txt",
    "corpus.sha256": "0" * 64,
    "corpus.val_path": "b.txt",
    "corpus.val_fraction": 0.25,
    "model.width": 64,
    "model.heads": 5,
    "model.layers": 7,
    "training.micro_batch": 1,
}
"""Values unlike the default where adding to it would not give a valid one."""


def flags(**given: object) -> dict[str, object]:
    """What click passes: None or an empty tuple for a flag that was not given."""
    empty = {field.parameter: () if field.repeatable else None for field in fields()}
    return {**empty, **given}


def other(field: Field) -> Any:
    """A value that the setting may have and that is not its default."""
    default = getattr(getattr(Settings(), field.section), field.name)
    if field.key in EXAMPLES:
        return EXAMPLES[field.key]
    if isinstance(field.type, click.Choice):
        return next(choice for choice in field.type.choices if choice != default)
    if field.type is bool:
        return not default
    return default / 2 if isinstance(default, float) else default + 16


def ask(field: Field, value: object) -> list[str]:
    if field.type is bool:
        return [field.flag if value else f"--no-{field.flag.removeprefix('--')}"]
    return [field.flag, str(value[0] if isinstance(value, tuple) else value)]


def test_every_setting_has_exactly_one_flag_and_every_flag_is_one_settings() -> None:
    keys = [f"{section}.{name}" for section, s in SECTIONS.items() for name in s.__struct_fields__]
    assert [field.key for field in fields()] == keys
    names = [name for option in train.command.params for name in option.opts]
    assert len(names) == len(set(names))
    options = [option for option in train.command.params if isinstance(option, SettingOption)]
    assert [option.opts for option in options] == [[field.flag] for field in fields()]


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.flag)
def test_what_a_flag_says_reaches_its_setting_and_no_other(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through click's own parsing."""
    value = other(field)
    arguments = ask(field, value)
    if field.key == "corpus.sha256":
        arguments += ["--corpus-url", "file:///a.txt"]
    asked: list[Settings] = []

    def keep(*arguments: Any) -> Settings:
        asked.append(settings_of(*arguments))
        raise UsageError("enough")

    monkeypatch.setattr(train, "settings_of", keep)
    with pytest.raises(UsageError, match="enough"):
        train.command.main(arguments, standalone_mode=False)
    plain, expected = as_dict(asked[0]), as_dict(Settings())
    expected[field.section][field.name] = value[0] if isinstance(value, tuple) else value
    if field.key == "corpus.sha256":
        expected["corpus"]["url"] = "file:///a.txt"
    assert plain == expected


def test_the_names_that_people_use_stay() -> None:
    flag = {field.key: field.flag for field in fields()}
    assert flag["corpus.path"] == "--corpus-path"
    assert flag["corpus.name"] == "--corpus"
    assert flag["corpus.seed"] == "--corpus-seed"
    assert flag["training.seed"] == "--seed"
    assert flag["training.batch_size"] == "--batch-size"
    assert flag["model.max_seq_length"] == "--max-seq-length"


def test_the_help_tells_each_setting_with_its_docstring_and_its_default() -> None:
    told = " ".join(
        CliRunner().invoke(train.command, ["--help"], terminal_width=10_000).output.split()
    )
    documented = docstrings()
    for field in fields():
        assert documented[field.key].replace("``", "") in told, field.key
        default = getattr(getattr(Settings(), field.section), field.name)
        if default is not None:
            stated = field.help.rpartition("[default: ")[2].removesuffix("]")
            assert stated == str(default) or float(stated) == default, field.key
    for section in SECTIONS:
        assert f"{section.capitalize()}: --" in told


def test_the_help_of_training_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from tinytx.cli.main import run\n"
        "code = run(['train', '--help'])\n"
        "assert not {'torch', 'numpy', 'onnxruntime', 'rich'} & sys.modules.keys()\n"
        "sys.exit(code)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "--weight-decay" in shown.stdout


def test_a_choice_is_offered_as_the_settings_declare_it() -> None:
    kinds = {field.key: field.type for field in fields()}
    declared = SECTIONS["training"].__annotations__["precision"]
    assert set(kinds["training.precision"].choices) == set(get_args(declared))


def test_a_path_may_be_given_once_or_more_often() -> None:
    def paths(*given: str) -> Any:
        return settings_of("balanced", None, (), flags(corpus__path=given)).corpus

    assert paths("a").path == "a"
    assert paths("a", "b").paths == ("a", "b")
    assert paths().paths == ()


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("corpus__name", "wikipedia", "--corpus:"),
        ("corpus__sha256", "xyz", "--corpus-sha256:"),
        ("corpus__seed", -1, "--corpus-seed:"),
    ],
)
def test_a_wrong_value_is_told_with_the_name_of_its_flag(
    name: str, value: object, flag: str
) -> None:
    with pytest.raises(UsageError, match=flag):
        settings_of("balanced", None, (), flags(**{name: value}))


def test_a_preset_yields_to_the_file_the_file_to_set_and_set_to_a_flag(tmp_path: Any) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[training]\nepochs = 6\nseed = 6\nthreads = 6\n")
    quick = PRESETS["quick"].settings["training"]["epochs"]
    assert settings_of("quick", None, (), flags()).training.epochs == quick != 6
    assignments = ("training.seed=7", "training.threads=7")
    found = settings_of("quick", file, assignments, flags(training__threads=8)).training
    assert (found.epochs, found.seed, found.threads) == (6, 7, 8)


def test_the_help_describes_every_preset() -> None:
    told = " ".join(
        CliRunner().invoke(train.command, ["--help"], terminal_width=500).output.split()
    )
    for preset in PRESETS.values():
        assert f"{preset.name} {preset.story}" in told
    assert json.dumps(list(PRESETS))  # plain names
