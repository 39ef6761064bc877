"""How to repeat a bench: the command, its two files, the settings and the versions."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from tinytx.measure.pages.markup import Markup, clean, el, join
from tinytx.measure.pages.tables import facts, numbers_table
from tinytx.measure.record.report import Report

BUDGETS = "budgets.toml"
SCENARIOS = "scenarios.toml"


def command(report: Report) -> str:
    """The command line that does this bench again, given the bundle and the files below."""
    words = ["tinytx", "bench", PurePath(report.bundle.path).name or "bundle"]
    words += ["--budgets", BUDGETS, "--scenarios", SCENARIOS]
    precision = report.settings.get("precision")
    if isinstance(precision, str):
        words += ["--precision", precision]
    limit = report.settings.get("time_limit")
    if isinstance(limit, int | float):
        words += ["--time-limit", f"{limit:g}"]
    if report.container is not None:
        words += ["--container", "--image", report.container.image]
        words += ["--device", "device.toml"] if report.device is not None else []
    return clean(shlex.join(words))


def budget_file(report: Report) -> str:
    """The limits of this report as a budget file."""
    lines = ["schema = 1"]
    for row in report.budgets:
        limit = row.budget.limit
        key = "under" if row.budget.strict else "at_most"
        lines += ["", f"[budget.{row.budget.name}]", f"{key} = {limit.amount:.17g}"]
        lines.append(f'unit = "{limit.unit}"')
    return "\n".join(lines) + "\n"


def scenario_file(report: Report) -> str:
    """The scenarios of this report as a scenario file."""
    sections = {
        name: table for name, table in report.settings.items() if isinstance(table, Mapping)
    }
    lines = ["schema = 1"]
    for name, table in sections.items():
        lines += ["", f"[{name}]"]
        # A string, a number, a truth value and a list of them are written as JSON writes them.
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()
        ]
    return "\n".join(lines) + "\n"


def how_to_repeat(report: Report) -> Markup:
    """The command and what it needs."""
    need = (
        f"tinytx {report.tinytx}, the bundle with the id above in the folder that the command "
        "names, and these two files beside it:"
    )
    return join(
        el("p", need),
        el("pre", el("code", command(report)), tabindex=0),
        el("details", el("summary", BUDGETS), el("pre", el("code", budget_file(report)))),
        el("details", el("summary", SCENARIOS), el("pre", el("code", scenario_file(report)))),
    )


def settings(report: Report) -> Markup:
    """Every setting of the scenarios, and the version of every library."""
    rows = [(name, told) for name, told in _flat(report.settings)]
    versions = [("Python", report.before.python), *report.before.versions.items()]
    table = numbers_table("Settings", ("setting", "value"), rows) if rows else None
    return join(
        facts(versions),
        el("details", el("summary", f"All {len(rows)} settings"), table) if table else None,
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, found in tree.items():
        if isinstance(found, Mapping):
            yield from _flat(found, f"{prefix}{name}.")
        elif isinstance(found, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(one) for one in found)
        else:
            yield f"{prefix}{name}", str(found)
