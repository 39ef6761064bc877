"""What ``tinytx plan`` shows: the frontier as a table, and the plan with its reasons."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from tinytx.config import as_dict
from tinytx.fit.choose import Candidate, shape_told
from tinytx.fit.plan import Found
from tinytx.fit.times import told

HEADINGS = (
    *("", "time", "bits/byte", "MB*", "token*", "peak", "epochs"),
    *("layers", "pieces", "pairs", "tables"),
)
SHOWN = (30, 60, 120, 180, 300, 450, 600, 900, 1_200, 1_800, 3_600, 5_400, 7_200, 14_400, 28_800)
"""Seconds: the table has the best of the frontier within each of these."""


def shown(found: Found) -> list[Candidate]:
    """The rows of the table: few of the frontier, and the plan's own."""
    wanted = {_key(one): one for one in _within(found.frontier)}
    for one in found.frontier:
        if _is_plan(one, found):
            wanted[_key(one)] = one
    return sorted(wanted.values(), key=lambda one: one.seconds.total)


def _within(frontier: Sequence[Candidate]) -> list[Candidate]:
    found = []
    for most in SHOWN:
        if known := [one for one in frontier if one.seconds.total <= most]:
            found.append(known[-1])
    return found or list(frontier[:1])


def _key(one: Candidate) -> float:
    return one.seconds.total


def _is_plan(one: Candidate, found: Found) -> bool:
    same = one.seconds.total == found.plan.seconds
    return same and one.bits_per_byte == found.plan.bits_per_byte


def print_plan(found: Found, console: Console) -> None:
    """The table, the plan, and why."""
    plan = found.plan
    title = "Nothing quicker is predicted to be better than these (> is the plan)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in shown(found):
        mark = ">" if _is_plan(one, found) else ""
        table.add_row(mark, *_figures(one), style="bold" if mark else "")
    console.print(table)
    console.print(
        f"* in {found.target.precision}; the next token about, on {found.target.name}: not measured"
        " there",
        style="dim",
        markup=False,
    )
    console.print(f"\nthe plan: {shape_told(plan.settings)}", style="bold", markup=False)
    for reason in [*plan.reasons, plan.next_larger]:
        console.print(f"- {reason}", markup=False)


def _figures(one: Candidate) -> list[str]:
    model = one.settings.model
    return [
        told(one.seconds.total),
        f"{one.bits_per_byte:.3f}",
        f"{one.model_bytes / 1e6:.2f}",
        f"{one.next_token_ns / 1e6:.2g} ms",
        f"{one.peak_bytes / 1e6:,.0f}",
        f"{one.settings.training.epochs}",
        f"{model.layers} x {model.width}",
        f"{one.settings.tokenizer.vocab_size:,}",
        f"{model.pair_rows:,}",
        "yes" if model.block_tables else "no",
    ]


def document(found: Found) -> dict[str, Any]:
    """Everything, for ``--json``."""
    plan = msgspec.to_builtins(found.plan)
    return {
        "plan": plan | {"settings": as_dict(found.plan.settings)},
        "target": found.target.name,
        "precision": found.target.precision,
        "frontier": [_plain(one) for one in found.frontier],
        "machine": msgspec.to_builtins(found.rates, str_keys=True),
    }


def _plain(one: Candidate) -> dict[str, Any]:
    settings = as_dict(one.settings)
    return {
        "seconds": one.seconds.total,
        "parts": msgspec.to_builtins(one.seconds),
        "bits_per_byte": one.bits_per_byte,
        "model_bytes": one.model_bytes,
        "peak_bytes": one.peak_bytes,
        "next_token_ns": one.next_token_ns,
        "parameters": one.settings.parameters,
        "epochs": one.settings.training.epochs,
        "vocab_size": one.settings.tokenizer.vocab_size,
        "model": settings["model"],
    }
