"""What ``tinytx sweep`` shows: a line per trial, the table of what pays, the full command."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from tinytx.cli.progress import ConsoleReporter
from tinytx.measure.policy.budgets import Quantity
from tinytx.sweep.plan import Plan
from tinytx.sweep.records import Outcome, Record, front_of
from tinytx.sweep.result import full_command
from tinytx.sweep.watch import Watch

COLOURS = {Outcome.COMPLETE: "green", Outcome.FAILED: "red", Outcome.REPEAT: "dim"}


class ConsoleWatch(Watch):
    """A line per trial; on a terminal also what the one under way is at."""

    def __init__(self, console: Console) -> None:
        self.console, self.reporter = console, ConsoleReporter(console)
        self._status = Status("", console=console)

    def __enter__(self) -> "ConsoleWatch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def note(self, text: str) -> None:
        self.console.print(escape(text))

    def began(self, number: int) -> None:
        if self.console.is_terminal:
            self._status.update(f"trial {number}")
            self._status.start()

    def epoch(self, number: int, epoch: int, bits_per_byte: float) -> None:
        self._status.update(f"trial {number}, epoch {epoch}: {bits_per_byte:.4f} bits per byte")

    def ended(self, record: Record) -> None:
        self._status.stop()
        colour = COLOURS.get(record.outcome, "yellow")
        self.console.print(f"[{colour}]trial {record.number}:[/] {escape(line(record))}")


def line(record: Record) -> str:
    """A trial in one line."""
    parts = [_told(record.params)]
    if record.outcome is not Outcome.COMPLETE:
        link = " " if record.outcome is Outcome.PRUNED else ": "
        parts.append(link.join(filter(None, (record.outcome.value, record.reason))))
    quality = (
        record.bits_per_byte
        if record.bits_per_byte is not None
        else min(record.epochs, default=None)
    )
    if quality is not None:
        parts.append(f"{quality:.4f} bits per byte")
    if record.parameters is not None:
        told = f"{record.parameters:,} parameters"
        parts += [told] * (told not in parts[-1])  # the reason may have said it
    parts += [str(figure) for figure in _cost(record)]
    return ", ".join(parts)


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
        size, token = _cost(record)
        training = Quantity.of(record.training_20_epochs_ns or 0.0, "s")
        figures = [f"{record.bits_per_byte:.4f}", str(size), str(token), str(training)]
        settings = _machine(record) + _told(record.params).replace(" ", "\n")
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


def _cost(record: Record) -> list[Quantity]:
    if record.bytes is None or record.next_token_ns is None:
        return []
    return [Quantity.of(record.bytes, "MB"), Quantity.of(record.next_token_ns, "ms")]


def _told(params: dict[str, Any]) -> str:
    told = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in params.items()}
    return " ".join(f"{key}={value}" for key, value in told.items())
