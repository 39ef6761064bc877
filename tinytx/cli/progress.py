"""Draws the pipeline's progress: phase headers, a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tinytx.cli.common import console
from tinytx.train.progress import Reporter, StepReport
from tinytx.workspace import sha256_file

PLAIN_EVERY_SECONDS = 10.0


class ConsoleReporter(Reporter):
    """A reporter on stderr."""

    def __init__(self, target: Console) -> None:
        self.console = target
        self._warnings = console() if target.quiet else target  # to be heard in any case
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = time.monotonic()
        self._phases: list[tuple[str, float]] = []

    def __enter__(self) -> "ConsoleReporter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_bar()

    def phase(self, number: int, name: str) -> None:
        self._close_bar()
        self._phases.append((name, time.monotonic()))
        self.console.print(f"[bold cyan]\\[{number}/5] {name}[/]")

    def note(self, text: str) -> None:
        self.console.print(f"      {escape(text)}")

    def warn(self, text: str) -> None:
        self._warnings.print(f"      [yellow]note:[/] {escape(text)}")

    def sample(self, text: str) -> None:
        """Text that the model wrote."""
        self._close_bar()
        self.console.print("[bold]sample[/]")
        self.console.print(f"[italic]{escape(text.strip())}[/]")

    def summary(self, files: Iterable[Path]) -> None:
        """What is there now: each file's size and sha256, and the seconds of each phase."""
        self._close_bar()
        self.console.print("[bold]written[/]")
        for path in files:
            size, digest = path.stat().st_size, sha256_file(path)[:12]
            line = f"      [green]{escape(str(path))}[/]  {size:,} bytes  sha256 {digest}..."
            self.console.print(line)
        ends = [began for _, began in self._phases[1:]] + [time.monotonic()]
        pairs = zip(self._phases, ends, strict=True)
        told = ", ".join(f"{name} {end - began:.1f} s" for (name, began), end in pairs)
        self.note(f"phases: {told}")

    def step(self, report: StepReport) -> None:
        if self.console.is_terminal:
            self._draw(report)
        elif time.monotonic() - self._last_line > PLAIN_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self.note(f"{report.done}/{report.total} steps, {_words(report)}")
        if report.done == report.total:
            self._close_bar()

    def reading(self, done: int) -> None:
        self._bytes("read", done, None, PLAIN_EVERY_SECONDS)

    def tokens(self, done: int, total: int) -> None:
        self._bytes("made tokens of", done, total, PLAIN_EVERY_SECONDS)

    def download(self, done: int, total: int | None) -> None:
        self._bytes("downloaded", done, total, 1.0)

    def _bytes(self, did: str, done: int, total: int | None, every: float) -> None:
        if time.monotonic() - self._last_line > every:
            self._last_line = time.monotonic()
            of = f" of {total / 1e6:.1f}" if total else ""
            self.note(f"{did} {done / 1e6:.1f}{of} MB")

    def _draw(self, report: StepReport) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("     "),
                BarColumn(),
                TextColumn("{task.description}"),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=report.total)
            self._bar.start()
        assert self._task is not None
        self._bar.update(
            self._task, completed=report.done, total=report.total, description=_words(report)
        )

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _words(report: StepReport) -> str:
    minutes, seconds = divmod(int(report.seconds_left), 60)
    return (
        f"epoch {report.epoch}/{report.epochs}, loss {report.loss:.3f}, "
        f"{report.tokens_per_second:,.0f} tokens/s, {minutes}:{seconds:02d} left"
    )


def make_reporter(quiet: bool = False) -> ConsoleReporter:
    """A reporter for stderr; with ``quiet`` silent but for warnings."""
    return ConsoleReporter(console(quiet))
