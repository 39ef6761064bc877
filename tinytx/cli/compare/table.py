"""What ``tinytx compare`` shows to people: the progress, the table, the sentence."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.table import Table

from tinytx.measure.compare.findings import (
    Compared,
    Comparison,
    Finding,
    Side,
    share,
    signed,
    some,
    unseen,
)
from tinytx.measure.run.bench import Progress
from tinytx.wording import printable

COLOURS = {
    **dict.fromkeys((Finding.FASTER, Finding.SMALLER, Finding.BETTER), "green"),
    **dict.fromkeys((Finding.SLOWER, Finding.LARGER, Finding.WORSE), "bold red"),
    **dict.fromkeys((Finding.INVALID, Finding.UNMEASURED, Finding.INCOMPARABLE), "yellow"),
}
PLAIN_EVERY_SECONDS = 10.0
PLAIN_WIDTH = 118


@contextmanager
def progress_on(people: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    if people.is_terminal and not people.quiet:
        with Bar(console=people, transient=True) as bar:
            key = bar.add_task("compare", total=None)
            yield lambda now: bar.update(
                key, total=now.total, completed=now.done, description=now.doing
            )
        return
    last = time.monotonic()

    def line(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last > PLAIN_EVERY_SECONDS:
            last = time.monotonic()
            people.print(f"{now.done}/{now.total} {now.doing}", markup=False)

    yield line


def print_comparison(comparison: Comparison, people: Console, details: bool = True) -> None:
    """The table, why a figure has no finding, the warnings, and the sentence."""
    if not people.is_terminal:
        people.width = max(people.width, PLAIN_WIDTH)
    for drawn in (_table(comparison), *map(_safe, _reasons(comparison))):
        people.print(drawn)
    if details:
        sure = f"all intervals hold together with {comparison.confidence:.0%} confidence"
        people.print(f"{comparison.basis}; {sure}", style="dim", markup=False)
    for kind, reasons in comparison.invalid.items():
        for reason in reasons:
            people.print(f"[yellow]INVALID[/] {kind}: {_safe(reason)}")
    for warning in comparison.warnings:
        people.print(f"[yellow]note:[/] {_safe(warning)}")
    people.print(_safe(comparison.overall), style="bold")


def print_unseen(comparison: Comparison, people: Console, slower_than: float) -> None:
    """What a gate at ``slower_than`` could have overlooked."""
    if told := unseen(comparison, slower_than):
        people.print(f"[yellow]note:[/] {told}")


def _reasons(comparison: Comparison) -> list[str]:
    """Why figures have no finding; a reason that several share is told once."""
    names: dict[str, list[str]] = {}
    for figure in comparison.figures:
        if figure.reason:
            names.setdefault(figure.reason, []).append(figure.name)
    return [f"{some(sharing)}: {reason}" for reason, sharing in names.items()]


def _safe(text: str) -> str:
    """Text from a file: neither markup nor control characters of a terminal."""
    return escape(printable(text))


def _table(comparison: Comparison) -> Table:
    names = f"A {_side(comparison.a)}, B {_side(comparison.b)}"
    table = Table(title=_safe(names), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("figure")
    for heading in ("A", "B", "change", "interval", "visible from"):
        table.add_column(heading, justify="right")
    table.add_column("finding")
    for figure in comparison.figures:
        table.add_row(*_row(figure))
    return table


def _side(side: Side) -> str:
    path = side.path if len(side.path) <= 40 else f"...{side.path[-37:]}"
    return f"{path} ({side.precision})"


def _row(figure: Compared) -> list[str]:
    change = figure.difference
    interval = visible = "-"
    if change and change.lower is not None and change.upper is not None:
        interval = f"{signed(change.lower)} to {signed(change.upper)}"
        visible = share(change.smallest or 0.0)
        if change.lower == change.upper:
            interval = "exact"
    sides = (figure.a, figure.b)
    colour = COLOURS.get(figure.finding, "none")
    return [
        _safe(figure.name),
        *("-" if side is None else str(side).removesuffix(" bits/byte") for side in sides),
        "-" if change is None else signed(change.change),
        interval,
        visible,
        f"[{colour}]{figure.finding}[/]",
    ]
