"""What ``tinytx sweep`` comes to: the table of what pays, and the full command."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinytx.cli.sweep.output import cost, told
from tinytx.measure.policy.budgets import Quantity
from tinytx.sweep.plan import Plan
from tinytx.sweep.records import Outcome, Record, front_of
from tinytx.sweep.result import full_command


def print_result(plan: Plan, root: Path, records: Sequence[Record], console: Console) -> None:
    """The Pareto table, and the command that trains the best model in full."""
    front = front_of(records)
    if not front:
        return
    table = Table(title="Nothing tried is better than these in everything", title_justify="left")
    several = any(record.worker for record in records)
    for heading in ("trial", "bits per byte", "model", "next token*", "20 epochs*"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for record in front:
        size, token = cost(record)
        training = Quantity.of(record.training_20_epochs_ns or 0.0, "s")
        figures = [f"{record.bits_per_byte:.4f}", str(size), str(token), str(training)]
        settings = _machine(record) + told(record.params).replace(" ", "\n")
        table.add_row(str(record.number), *figures, escape(settings), end_section=True)
    console.print(table)
    where = "the machine that is named" if several else "this machine"
    console.print(f"* predicted on {where}, the next token at the end of the context", style="dim")
    counts = [(o, sum(r.outcome is o for r in records)) for o in Outcome if o is not Outcome.REPEAT]
    console.print(", ".join(f"{count} {outcome.value}" for outcome, count in counts if count))
    best = front[0]
    kept = root / "trials" / f"{best.number:04}"
    there = f", on {best.worker} (in its own --output-dir)" * bool(best.worker)
    console.print(
        f"the best so far{there}: tinytx export --output-dir {shlex.quote(str(kept))}",
        markup=False,
    )
    console.print(f"in full: {full_command(plan, root, best)}", markup=False)


def _machine(record: Record) -> str:
    """In a search on several: which one, and how fast it trained this shape."""
    if not record.worker:
        return ""
    speed = record.tokens_per_second
    return f"{record.worker}: {speed:,.0f} tokens/s\n" if speed else f"{record.worker}\n"
