"""The flags of ``tinytx train`` that stand for settings, and the way from them to the settings."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tinytx.cli.settings.fields import Field, fields
from tinytx.presets import DEFAULT, MEASURED_ON, PRESETS

if TYPE_CHECKING:
    from tinytx.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

METAVARS = {
    "corpus.path": "PATH",
    "corpus.url": "URL",
    "corpus.sha256": "HEX",
    "corpus.val_path": "FILE",
}


class SettingOption(click.Option):
    """A flag that belongs to a section of the settings."""

    def __init__(self, *names: Any, section: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


class SettingsCommand(click.Command):
    """Shows the presets, and the flags of each section under a heading of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            title = getattr(parameter, "section", "options").capitalize()
            if (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)
        with formatter.section("Presets"):
            formatter.write_dl([(preset.name, preset.story) for preset in PRESETS.values()])
            if MEASURED_ON:
                formatter.write_paragraph()
                formatter.write_text(f"Measured on {MEASURED_ON}.")


def setting_options(function: F) -> F:
    """Give a command ``--preset``, ``--config``, ``--set`` and a flag for every setting."""
    for field in reversed(fields()):
        _option(field)(function)
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="One setting; may be repeated.",
    )(function)
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Settings, TOML: over the preset, under --set, which is under the flags below.",
    )(function)
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default=DEFAULT,
        help="Settings by purpose, described below; everything else changes them.",
    )(function)
    return function


def _option(field: Field) -> Callable[[F], F]:
    kind: dict[str, Any] = {"type": field.type, "multiple": field.repeatable}
    name = field.flag
    if field.type is bool:
        kind, name = {}, f"{field.flag}/--no-{field.flag.removeprefix('--')}"
    return click.option(
        name,
        field.parameter,
        cls=SettingOption,
        section=field.section,
        default=None,
        metavar=METAVARS.get(field.key),
        help=field.help,
        **kind,
    )


def settings_of(
    preset: str,
    config: Path | None,
    assignments: tuple[str, ...],
    flags: dict[str, Any],
    *,
    searching: bool = False,
    base: Mapping[str, Mapping[str, Any]] | None = None,
) -> "Settings":
    """The settings that a command line asks for; ``base`` stands in the preset's place.

    Raises :class:`UsageError`.
    """
    from tinytx.config import load_settings

    names = {field.key: field.flag for field in fields()}
    under = PRESETS[preset].settings if base is None else base
    return load_settings(config, assignments, given(flags), names, under, searching=searching)


def pinned_settings(
    preset: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    flags: dict[str, Any],
    *,
    timed: bool = False,
) -> frozenset[str]:
    """The settings "section.key" that a command line decides, so that no plan changes them.

    ``preset`` None: none was named. One that was decides every shape and everything about training
    but, with ``timed``, the epochs. Raises :class:`UsageError`.
    """
    from tinytx.config import SECTIONS, read_config

    said = {*given(flags), *(text.partition("=")[0].strip() for text in assignments)}
    found = set(said)
    if config is not None:
        for section, values in read_config(config).items():
            found |= {f"{section}.{key}" for key in values} if section in SECTIONS else set()
    if preset is not None:
        decided = ("tokenizer", "model", "training")
        found |= {f"{s}.{key}" for s in decided for key in SECTIONS[s].__struct_fields__}
        found -= {"training.epochs"} - said if timed else set()
    found -= {"training.time_limit"} - said if timed else set()  # that is the time itself
    return frozenset(found)


def preset_is_given() -> bool:
    """Whether the command line of the command under way names a preset."""
    source = click.get_current_context().get_parameter_source("preset")
    return source is click.core.ParameterSource.COMMANDLINE


def given(flags: dict[str, Any]) -> dict[str, object]:
    """The settings whose flags were given, by "section.key"."""
    values = {field.key: flags[field.parameter] for field in fields()}
    return {key: _plain(value) for key, value in values.items() if value not in (None, ())}


def _plain(value: object) -> object:
    """A flag that may be repeated and was given once has one value."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
