"""What people see of a deployment: lines while it runs, a bar on a terminal, a table at its end."""

import threading
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from tinytx.cli.common import console
from tinytx.remote.deploy import Outcome, Reporter
from tinytx.wording import counted

COLOURS = {"committed": "green", "rolled-back": "bold red", "failed": "bold red"}


class Output:
    """On stderr; devices report from threads of their own."""

    def __init__(self, quiet: bool, several: bool) -> None:
        self.several = several
        self.people = console(quiet)
        self.results = console()
        self.reporter = Reporter(say=self._say, progress=self._progress)
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Output":
        if self.people.is_terminal and not self.people.quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f} of {task.total:,.0f} bytes"),
                console=self.people,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def ended(self, outcome: Outcome) -> None:
        """A device has come to its end."""
        if self.several:
            self._say(outcome.device, f"{outcome.end} after {outcome.seconds:.1f} s")
        with self._lock:
            if (
                self._bar is not None
                and (task := self._tasks.pop(outcome.device, None)) is not None
            ):
                self._bar.remove_task(task)

    def conclude(self, outcomes: list[Outcome]) -> None:
        """The table of several devices, the sentence of one."""
        if self.several:
            self.results.print(_table(outcomes))
        for outcome in outcomes:
            for line in _lines(outcome):
                _print(self.results, outcome.device, line)

    def _say(self, name: str, text: str) -> None:
        with self._lock:
            _print(self.people, name, text)

    def _progress(self, name: str, held: int, size: int) -> None:
        with self._lock:
            if self._bar is None:
                return
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(escape(name), total=size)
            self._bar.update(self._tasks[name], completed=held)


def _print(target: Console, name: str, text: str) -> None:
    target.print(f"{name}: {text}" if name else text, markup=False)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title=f"Release {outcomes[0].release[:12]}", title_justify="left")
    for heading in ("device", "end", "state there"):
        table.add_column(heading)
    for heading in ("files sent", "bytes sent", "seconds"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        told = f"[{COLOURS.get(outcome.end, 'yellow')}]{outcome.end}[/]"
        figures = (f"{outcome.files_sent}", f"{outcome.bytes_sent:,}", f"{outcome.seconds:.1f}")
        table.add_row(escape(outcome.device), told, escape(outcome.state or "-"), *figures)
    return table


def _lines(outcome: Outcome) -> list[str]:
    """How it ended, in a sentence, and what to do."""
    if outcome.unchanged:
        return [f"serves {outcome.release[:12]} already, 0 files sent"]
    if outcome.end == "committed":
        files, size = counted(outcome.files_sent, "file"), counted(outcome.bytes_sent, "byte")
        return [f"committed {outcome.release[:12]}, {files} sent, {size}"]
    remedy = [f"  -> {outcome.remedy}"] if outcome.remedy else []
    why = outcome.why.removeprefix(f"{outcome.device}: ")
    return [f"{outcome.end}: {why}", *remedy]
