"""The page of the settings: nine columns for each field of ``tinytx/config.py``.

Name, type, range, default and effect come from the structs and their docstrings. What they cannot
know comes from ``settings.toml``: what a setting interacts with, when to change it, what it costs,
and what it was measured to do to the bits per byte, with the place in the log that says so.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import docstrings
import msgspec.inspect
import types_told
from md import UNDOCUMENTED, code, prose, table

ADVICE = Path(__file__).resolve().parents[1] / "reference" / "settings.toml"
KEYS = ("interacts", "change", "cost", "measured")
HEAD = (
    "name", "type", "range", "default", "effect", "interacts with", "when to change it", "cost",
    "measured effect on bits per byte",
)  # fmt: skip

INTRODUCTION = """# Settings

Every number that a run depends on. Each has a flag of `tinytx train` ([commands](commands.md)),
can stand in a TOML file for `--config`, and can be given as `--set section.name=value`. Later
ones win: the preset, the file, `--set`, flags.

*Measured effect*: on 2.8 MB of English and Spanish novels, on one machine, one seed, unless it
says otherwise; the link leads to the run. Runs differ in shape and length: compare the figures of
one cell only. "Not measured" means that nobody tried it alone. Differences below 0.004 are within
what seeds make.
"""
SHAPE = """
## What no single setting can tell

- `model.width` divided by `model.heads` must be a multiple of {multiple}.
- `training.batch_size` must be a multiple of `training.micro_batch`.
- One corpus at most: `corpus.path`, `corpus.url` or `corpus.name`. `corpus.sha256` belongs to
  `corpus.url`.
- A sweep proposes models of at most {most:,} weights: 9.8 MB in float32.
"""


def page() -> str:
    """The whole page, as Markdown."""
    from tinytx.config import HEAD_MULTIPLE, MAX_PARAMETERS, SECTIONS

    parts = [INTRODUCTION]
    for section, struct in SECTIONS.items():
        told: Any = msgspec.inspect.type_info(struct)
        docs = docstrings.fields(struct)
        rows = [_row(section, field, docs.get(field.name, "")) for field in told.fields]
        parts.append(f"## {section}\n\n{prose(docstrings.of_class(struct))}\n")
        parts.append(table(HEAD, rows) + "\n")
    return "\n".join(parts) + SHAPE.format(multiple=HEAD_MULTIPLE, most=MAX_PARAMETERS)


def _row(section: str, field: Any, doc: str) -> tuple[str, ...]:
    known = advice().get(section, {}).get(field.name, {})
    more = [known.get(key, UNDOCUMENTED) for key in KEYS]
    return (
        code(field.name),
        types_told.kind(field.type),
        types_told.bounds(field.type) or "any",
        types_told.default(field.default),
        prose(doc) or UNDOCUMENTED,
        *more,
    )


@cache
def advice() -> dict[str, dict[str, dict[str, str]]]:
    """Section to setting to its four columns that no struct has."""
    return tomllib.loads(ADVICE.read_text(encoding="utf-8"))
