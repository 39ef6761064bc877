"""The flags of ``tinytx train`` that stand for settings, and the way from them to the settings."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tinytx.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "--corpus-path": (
        "corpus.path",
        {
            "multiple": True,
            "metavar": "PATH",
            "help": "UTF-8 text to train on: a file (plain, gzip, zip) or a folder; repeatable.",
        },
    ),
    "--corpus-url": (
        "corpus.url",
        {"metavar": "URL", "help": "The same, from an http, https or file address."},
    ),
    "--corpus-sha256": (
        "corpus.sha256",
        {"metavar": "HEX", "help": "The sha256 that the file behind the URL must have."},
    ),
    "--corpus": (
        "corpus.name",
        {"metavar": "NAME", "help": "A known corpus: gutenberg, tinyshakespeare, tinystories."},
    ),
    "--val-path": (
        "corpus.val_path",
        {"metavar": "FILE", "help": "Text to validate on; else blocks are held out."},
    ),
    "--epochs": ("training.epochs", {"type": int, "help": "Passes over the text (20)."}),
    "--batch-size": ("training.batch_size", {"type": int, "help": "Windows in one step (16)."}),
    "--learning-rate": (
        "training.learning_rate",
        {"type": float, "help": "Peak learning rate (0.012)."},
    ),
    "--vocab-size": (
        "tokenizer.vocab_size",
        {"type": int, "help": "Pieces of the tokenizer (2048)."},
    ),
    "--max-seq-length": (
        "model.max_seq_length",
        {"type": int, "help": "Context, in tokens (256)."},
    ),
    "--seed": ("training.seed", {"type": int, "help": "Seed of weights and data order (1)."}),
}
"""The setting that each flag stands for, and how click is told of it."""


def setting_options(function: F) -> F:
    """Give a command all flags of :data:`OPTIONS`, ``--config`` and ``--set``."""
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="One setting; may be repeated.",
    )(function)
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, TOML."
    )(function)
    for flag, (_, attributes) in reversed(OPTIONS.items()):
        click.option(flag, parameter(flag), **attributes)(function)
    return function


def parameter(flag: str) -> str:
    """The name under which click passes a flag."""
    return flag.removeprefix("--").replace("-", "_")


def settings_of(
    config: Path | None,
    assignments: tuple[str, ...],
    flags: dict[str, Any],
    *,
    searching: bool = False,
) -> "Settings":
    """The settings that a command line asks for. Raises :class:`UsageError`."""
    from tinytx.config import load_settings

    names = {key: flag for flag, (key, _) in OPTIONS.items()}
    return load_settings(config, assignments, given(flags), names, searching=searching)


def given(flags: dict[str, Any]) -> dict[str, object]:
    """The settings whose flags were given, by "section.key"."""
    values = {key: flags[parameter(flag)] for flag, (key, _) in OPTIONS.items()}
    return {key: _plain(value) for key, value in values.items() if value not in (None, ())}


def _plain(value: object) -> object:
    """A flag that may be repeated and was given once has one value."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
