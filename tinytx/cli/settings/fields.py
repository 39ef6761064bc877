"""Every setting as a flag: name, type, help and default, read from the settings themselves."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

SPECIAL = {
    "corpus.path": "--corpus-path",
    "corpus.url": "--corpus-url",
    "corpus.sha256": "--corpus-sha256",
    "corpus.name": "--corpus",
}
"""Flags whose field's name alone would not say what they are about."""
OTHER_FLAGS = {"config", "set", "preset", "output-dir", "resume", "overwrite", "json", "quiet"}
OTHER_FLAGS |= {"time", "time-limit", "device", "budgets"}
"""Flags that are no settings: a field of that name gets its section before it."""
MOST_USED = "training"
"""Where two sections have a field of one name, the flag without a prefix is this section's."""


@dataclass(frozen=True)
class Field:
    """One setting, and the flag that stands for it."""

    section: str
    name: str
    flag: str
    help: str
    type: Any
    """What click converts to: a type, or ``click.Choice``."""
    repeatable: bool

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def parameter(self) -> str:
        """The name under which click passes the flag."""
        return self.key.replace(".", "__")


@cache
def fields() -> tuple[Field, ...]:
    """All settings, in the order in which ``tinytx/config.py`` declares them."""
    import msgspec

    from tinytx.config import SECTIONS

    docs, flags = docstrings(), _flags()
    found = []
    for section, struct in SECTIONS.items():
        told: Any = msgspec.inspect.type_info(struct)
        for field in told.fields:
            key = f"{section}.{field.name}"
            kind, repeatable = _click_type(field.type)
            text = _help(docs.get(key, ""), field.default, repeatable)
            found.append(Field(section, field.name, flags[key], text, kind, repeatable))
    return tuple(found)


def docstrings() -> dict[str, str]:
    """The text below each field of the settings, by "section.key"; empty without the source."""
    from tinytx import config

    try:
        tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    except OSError:
        return {}
    sections = {struct.__name__: section for section, struct in config.SECTIONS.items()}
    return {
        f"{sections[node.name]}.{name}": text
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in sections
        for name, text in _documented(node)
    }


def _documented(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(below.value.value).split())


def _flags() -> dict[str, str]:
    """ "section.key" to its flag; a prefix only where a name would be taken twice."""
    from tinytx.config import SECTIONS

    keys = [(section, name) for section, s in SECTIONS.items() for name in s.__struct_fields__]
    names = [name for _, name in keys]
    flags = {}
    for section, name in keys:
        plain = name.replace("_", "-")
        taken = plain in OTHER_FLAGS or (names.count(name) > 1 and section != MOST_USED)
        key = f"{section}.{name}"
        flags[key] = SPECIAL.get(key, f"--{section}-{plain}" if taken else f"--{plain}")
    return flags


def _click_type(kind: Any) -> tuple[Any, bool]:
    """What click converts a flag to, and whether it may be repeated; ranges are msgspec's."""
    import msgspec.inspect as types

    parts = kind.types if isinstance(kind, types.UnionType) else (kind,)
    repeatable = any(isinstance(part, types.VarTupleType) for part in parts)
    for part in parts:
        if isinstance(part, types.LiteralType):
            return click.Choice([str(value) for value in part.values]), repeatable
        for told, plain in ((types.BoolType, bool), (types.IntType, int), (types.FloatType, float)):
            if isinstance(part, told):
                return plain, repeatable
    return str, repeatable


def _help(doc: str, default: object, repeatable: bool) -> str:
    text = doc.replace("``", "")
    if repeatable:
        text += " Repeatable."
    return text if default is None else f"{text} [default: {_plain(default)}]"


def _plain(value: object) -> str:
    """A default as one types it."""
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else str(value)
