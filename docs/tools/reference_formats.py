"""The page of file formats: every field of what tinytx writes and reads, from its structs.

Words for a field come from the docstring below it, else from ``formats.toml``, else from the
class that it holds. A field without any is written as "undocumented", which a test refuses.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import docstrings
import msgspec.inspect
import types_told
from md import UNDOCUMENTED, code, prose, table

WORDS = Path(__file__).resolve().parents[1] / "reference" / "formats.toml"

INTRODUCTION = """# File formats

What tinytx writes and what it reads, field by field. JSON files are UTF-8; each has a `schema`
number that changes when an older tinytx could no longer read them. MB is 1,000,000 bytes; times
in names that end in `_ns` and `_us` are nanoseconds and microseconds. A field without a default
is always there.
"""


@dataclass(frozen=True)
class File:
    """One kind of file."""

    title: str
    story: str
    root: type | None
    """The class of the whole document; None for the budgets, which are tables by name."""


def files() -> list[File]:
    from tinytx.bundle import Golden, Manifest
    from tinytx.measure.policy.devices import Device
    from tinytx.measure.policy.scenarios import Scenarios
    from tinytx.measure.record.report import Report
    from tinytx.release.policy import Policy
    from tinytx.release.statement import Envelope, Statement
    from tinytx.remote.devices import Device as Reached
    from tinytx.train.metrics import Metrics

    return [
        File("Training metrics: training_metrics.json", "Written by `tinytx train`.", Metrics),
        File("Manifest: manifest.json", "In a bundle, written by `tinytx export`.", Manifest),
        File("Golden outputs: golden.json", "In a bundle; `tinytx verify` computes them.", Golden),
        File("Report: report.json", "Written by `tinytx bench --report`.", Report),
        File("Budgets: bench/budgets/*.toml", "Read by `tinytx bench --budgets`.", None),
        File("Devices: bench/devices/*.toml", "Read by `tinytx bench --device`.", Device),
        File("Scenarios: bench/scenarios.toml", "Read by `tinytx bench --scenarios`.", Scenarios),
        File(
            "Devices to deploy to: devices.toml",
            "Read by `tinytx deploy` and the like on a workstation: `schema = 1`, and a table "
            "`[devices.NAME]` with these keys for each device.",
            Reached,
        ),
        File("Policy of a device: device.toml", "Beside a device's store of releases.", Policy),
        File("Release: CHANNEL.json", "Written by `tinytx publish`, read by a device.", Envelope),
        File("Statement", "The text in an envelope: canonical JSON, which is signed.", Statement),
    ]


def page() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION]
    every = files()
    told: list[type] = []
    for file in every:
        parts.append(f"## {file.title}\n\n{file.story}\n")
        if file.root is None:
            parts.append(_budgets())
            continue
        for kind in reachable(file.root):
            elsewhere = kind is not file.root and any(kind is one.root for one in every)
            if kind not in told and not elsewhere:
                told.append(kind)
                parts.append(_section(kind, file.root))
    return "\n".join(parts)


def reachable(root: type) -> list[type]:
    """The classes of a document: the root and all that its fields hold, each once."""
    found: list[type] = []

    def visit(kind: type) -> None:
        if kind in found:
            return
        found.append(kind)
        for _, told, _ in fields(kind):
            for inner in types_told.structs(told):
                visit(inner)

    visit(root)
    return found


def fields(kind: type) -> list[tuple[str, Any, str]]:
    """Name, type and default of each field, as the document has them."""
    rows = [(one.encode_name, one.type, _default(one)) for one in _told(kind).fields]
    if kind.__name__ != "Report":
        return rows
    from tinytx.measure.record.reading import _Flat

    # The document has these under "machine", and each verdict as a flat table.
    flat = msgspec.inspect.ListType(msgspec.inspect.type_info(_Flat))
    outside = [
        (name, flat if name == "budgets" else told, default)
        for name, told, default in rows
        if name not in IN_MACHINE
    ]
    inside = [(f"machine.{name}", told, d) for name, told, d in rows if name in IN_MACHINE]
    return outside + inside


IN_MACHINE = ("before", "during", "after", "neighbours", "processor_use", "breaches")


def _told(kind: type) -> Any:
    return msgspec.inspect.type_info(kind)


def _default(field: Any) -> str:
    if field.required:
        return ""
    factory = field.default_factory
    if factory is not msgspec.NODEFAULT:
        value = factory()
        return "empty" if not value else "its own defaults"
    if hasattr(field.default, "__struct_fields__"):
        return "its own defaults"
    if field.default in ("", [], {}, ()):
        return "empty"
    return types_told.default(field.default)


def _section(kind: type, root: type) -> str:
    head = "" if kind is root else f"### {kind.__name__.lstrip('_')}\n\n"
    rows = []
    for name, told, default in fields(kind):
        range_ = types_told.bounds(told)
        type_ = types_told.kind(told).replace("_Flat", "Flat")
        shown = f"{type_}; {range_}" if range_ and range_ != "these values" else type_
        rows.append((code(name), shown, default, words(kind, name, told)))
    story = prose(docstrings.of_class(kind))
    return f"{head}{story}\n\n{table(('field', 'type', 'default', 'what it is'), rows)}\n"


def words(kind: type, name: str, told: Any) -> str:
    """What a field is."""
    name = name.removeprefix("machine.")
    own = docstrings.fields(kind)
    known = own.get(attribute(kind, name)) or extra().get(kind.__name__, {}).get(name)
    if not known and (inner := types_told.structs(told)):
        known = docstrings.of_class(inner[0])
    return prose(known) if known else UNDOCUMENTED


def attribute(kind: type, name: str) -> str:
    """What Python calls the field that a document calls ``name``."""
    called = {one.encode_name: one.name for one in _told(kind).fields}
    return called.get(name, name)


@cache
def extra() -> dict[str, dict[str, str]]:
    """Class to field to words, for fields that have no docstring."""
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))


def _budgets() -> str:
    from tinytx.measure.policy.budgets import FIGURES, SCHEMA, UNITS

    units = {
        kind: ", ".join(code(unit) for unit, (of, _) in UNITS.items() if of == kind)
        for kind, _ in UNITS.values()
    }
    rows = [(code(f"budget.{name}"), title, units[kind]) for name, (kind, title) in FIGURES.items()]
    keys = [
        (code("schema"), "whole number", f"`{SCHEMA}`, at the top of the file"),
        (code("at_most"), "number above 0", "the limit, which may be reached"),
        (code("under"), "number above 0", "instead of it: the limit, which may not be reached"),
        (code("unit"), "text", "of the limit, one of the units that the figure has"),
    ]
    return (
        "One table for each figure that is judged; figures without a table are not.\n\n"
        f"{table(('table', 'figure', 'units'), rows)}\n\n"
        f"{table(('key', 'type', 'what it is'), keys)}\n"
    )
