"""What is known of each trial, and which trials are worth a second look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from tinytx.sweep.space import Params


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    """Stopped early: others of at most its size and cost were better by then."""
    INFEASIBLE = "infeasible"
    """Over a budget, or no model at all: its settings do not fit together."""
    FAILED = "failed"
    """Its training went wrong, for instance by a loss that was no longer finite."""
    INTERRUPTED = "interrupted"
    """By Ctrl-C or a kill; it is tried again when the sweep goes on."""
    REPEAT = "repeat"
    """The sampler asked for what had been tried before; nothing was trained."""


TRAINED = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.FAILED)
"""What counts against ``--trials``: the rest cost next to nothing."""
SETTLED = (*TRAINED, Outcome.INFEASIBLE)
"""What need not be tried again."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial that has ended."""

    number: int
    outcome: Outcome
    params: Params
    reason: str = ""
    parameters: int | None = None
    bytes: int | None = None
    """Of the float32 graph of this shape."""
    next_token_ns: float | None = None
    """Predicted: random weights of this shape, one thread, at the end of the context, here."""
    bits_per_byte: float | None = None
    """Of the held-out text, after the best epoch."""
    training_20_epochs_ns: float | None = None
    """Projected from the trial's own epochs."""
    epochs: list[float] = field(default_factory=list)
    """Bits per byte after each epoch."""
    tokens_per_second: float | None = None
    """Of its training, the mean over the epochs, on the machine that trained it."""
    worker: str = ""
    """The machine that tried it, in a search on several; the times above are that machine's."""
    relative_cost: float | None = None
    """``next_token_ns`` as a multiple of what one fixed shape takes on the same machine, in a
    search on several: what trials of different machines are compared by."""
    retry_of: int | None = None
    """The trial of the same settings that did not come to its end."""

    @property
    def cost(self) -> float | None:
        """What its next token costs, comparable between all trials of the same search."""
        return self.next_token_ns if self.relative_cost is None else self.relative_cost


class Point(Protocol):
    """What models are compared by; each the smaller the better."""

    @property
    def bits_per_byte(self) -> float | None: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def next_token_ns(self) -> float | None: ...


P = TypeVar("P", bound=Point)


def pareto_front(
    points: Sequence[P], cost: Callable[[P], float | None] = lambda point: point.next_token_ns
) -> list[P]:
    """The points that no other one beats: better somewhere and nowhere worse. Best quality first.

    Of equal points all stay. Points that lack a figure are left out.
    """
    raw = [(point.bits_per_byte, point.bytes, cost(point)) for point in points]
    known = sorted((_figures(one), i) for i, one in enumerate(raw) if None not in one)
    front: list[tuple[tuple[float, float, float], int]] = []
    for figures, index in known:  # whoever could beat this one sorts before it
        if not any(_beats(other, figures) for other, _ in front):
            front.append((figures, index))
    return [points[index] for _, index in front]


def front_of(records: Sequence[Record]) -> list[Record]:
    """The Pareto front of the trials that were trained to their end within the budgets."""
    complete = [record for record in records if record.outcome is Outcome.COMPLETE]
    return pareto_front(complete, lambda record: record.cost)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _figures(raw: tuple[float | None, ...]) -> tuple[float, float, float]:
    quality, size, cost = (float(figure or 0.0) for figure in raw)
    return quality, size, cost
