"""What ``tinytx sweep`` shows on its way: a line per trial."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from tinytx.cli.progress import ConsoleReporter
from tinytx.measure.policy.budgets import Quantity
from tinytx.sweep.records import Outcome, Record
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
    parts = [told(record.params)]
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
        size = f"{record.parameters:,} parameters"
        parts += [size] * (size not in parts[-1])  # the reason may have said it
    parts += [str(figure) for figure in cost(record)]
    return ", ".join(parts)


def cost(record: Record) -> list[Quantity]:
    """Size and time of a token, where they are known."""
    if record.bytes is None or record.next_token_ns is None:
        return []
    return [Quantity.of(record.bytes, "MB"), Quantity.of(record.next_token_ns, "ms")]


def told(params: dict[str, Any]) -> str:
    """Settings in one line."""
    values = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in params.items()}
    return " ".join(f"{key}={value}" for key, value in values.items())
