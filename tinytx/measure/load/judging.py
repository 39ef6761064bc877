"""From what came back under load to one row per budget, by the statistics of the other benches."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from tinytx.measure import stats
from tinytx.measure.load.client import Load
from tinytx.measure.load.server import Memory
from tinytx.measure.machine.conditions import Breach, touching
from tinytx.measure.policy.budgets import Budget, Figure, Quantity, Row, judge
from tinytx.wording import counted

LATE_SHARE = 0.1
"""Share of a limit by which 5 % of the requests may be sent late: beyond it the client's own
slowness is a part of the figure that matters."""
BUSY = 0.9
"""Share of a core from which on the client itself may be what is slow."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One rate at one process of the server; times in nanoseconds."""

    rate: float
    process: int
    requests: int
    seconds: float
    late: list[int]
    """Of each request: how much later than due it was sent."""
    first: list[int]
    """Of each answer: from the moment that its request was due to the first text."""
    between: list[list[int]]
    """Of each answer: between one piece of text and the next."""
    tokens: int
    """Of whole answers."""
    statuses: dict[int, int]
    errors: dict[str, int]
    """Requests without a whole answer, by why."""
    client_share: float
    looks: int = 1
    """How often its samples were doubled until they proved something, and looked at."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def cell_of(rate: float, process: int, load: Load) -> Cell:
    """The exchanges in the order in which they were due."""
    whole = [one for one in load.exchanges if not one.error]
    statuses: dict[int, int] = {}
    errors: dict[str, int] = {}
    for one in load.exchanges:
        statuses[one.status] = statuses.get(one.status, 0) + 1
        if one.error:
            errors[one.error] = errors.get(one.error, 0) + 1
    return Cell(
        rate=rate,
        process=process,
        requests=len(load.exchanges),
        seconds=load.seconds,
        late=[one.late for one in load.exchanges],
        first=[one.first for one in whole if one.first is not None],
        between=[one.pieces for one in whole],
        tokens=sum(one.tokens for one in whole),
        statuses=statuses,
        errors=errors,
        client_share=load.client_share,
    )


def joined(before: Cell, after: Cell) -> Cell:
    """One cell of two loads in a row."""
    seconds = before.seconds + after.seconds
    busy = before.client_share * before.seconds + after.client_share * after.seconds
    return msgspec.structs.replace(
        before,
        requests=before.requests + after.requests,
        seconds=seconds,
        late=before.late + after.late,
        first=before.first + after.first,
        between=before.between + after.between,
        tokens=before.tokens + after.tokens,
        statuses=_added(before.statuses, after.statuses),
        errors=_added(before.errors, after.errors),
        client_share=busy / seconds,
        looks=before.looks + 1,
    )


Key = TypeVar("Key", int, str)


def _added(one: dict[Key, int], other: dict[Key, int]) -> dict[Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def decided(budgets: Sequence[Budget], cell: Cell, cells: int) -> bool:
    """Whether more samples of this cell, one of ``cells``, would change no verdict."""
    for budget in budgets:
        if budget.name in SAMPLES:
            samples, block = SAMPLES[budget.name](cell)
            lower, upper = _bounds(samples, block, cell.looks, cells)
            kept = upper is not None and budget.kept_by(upper)
            broken = lower is not None and not budget.kept_by(lower)
            if samples and not kept and not broken:
                return False
    return True


def judge_all(
    budgets: Sequence[Budget],
    cells: Sequence[Cell],
    memories: Sequence[Memory],
    tokens: int,
    found: Sequence[Breach],
    trouble: str = "",
) -> list[Row]:
    """One row per budget. ``tokens`` were asked for in each request; ``trouble`` makes every figure
    INVALID."""
    figures: dict[str, Callable[[Budget], Figure]] = {
        "first_token_p95": lambda budget: latency_figure(budget, cells),
        "between_tokens_p95": lambda budget: latency_figure(budget, cells),
        "errors": lambda budget: errors_figure(cells),
        "throughput": lambda budget: throughput_figure(budget, cells, tokens),
        "rss": lambda budget: memory_figure(memories, peak=False),
        "peak_memory": lambda budget: memory_figure(memories, peak=True),
    }
    kinds = {"rss": "memory", "peak_memory": "memory", "errors": "none"}
    rows = []
    for budget in budgets:
        figure = figures[budget.name](budget)
        breaches = touching(found, kinds.get(budget.name, "latency"))
        rows.append(judge(budget, figure, [*([trouble] if trouble else []), *breaches]))
    return rows


def first_tokens(cell: Cell) -> tuple[list[int], int]:
    """From the moment that a request was due to the first piece of text; each stands alone."""
    return cell.first, 1


def gaps(cell: Cell) -> tuple[list[int], int]:
    """Between two pieces of text of one answer, and how many of them one answer has, usually."""
    lengths = sorted(len(answer) for answer in cell.between)
    middle = lengths[len(lengths) // 2] if lengths else 1
    return [gap for answer in cell.between for gap in answer], max(middle, 1)


SAMPLES = {"first_token_p95": first_tokens, "between_tokens_p95": gaps}
NOUNS = {"first_token_p95": "first tokens", "between_tokens_p95": "gaps between pieces of text"}


def latency_figure(budget: Budget, cells: Sequence[Cell]) -> Figure:
    """The p95 of one of :data:`SAMPLES` in the worst cell."""
    noun, take = NOUNS[budget.name], SAMPLES[budget.name]
    taken = [(cell, *take(cell)) for cell in cells]
    for cell, samples, _ in taken:
        if not samples:
            return Figure(trouble=f"{_told(cell)}: {_nothing(cell)}")
    if not taken:
        return Figure(trouble="nothing was asked")
    bounds = [_bounds(row, block, cell.looks, len(cells)) for cell, row, block in taken]
    worst, samples, _ = max(taken, key=lambda one: stats.quantile_of(one[1]))
    uppers = [upper for _, upper in bounds if upper is not None]
    least = min(len(row) / stats.cluster_time(row, block) for _, row, block in taken)
    return Figure(
        measured=stats.quantile_of(samples),
        lower=max((lower for lower, _ in bounds if lower is not None), default=None),
        upper=max(uppers) if len(uppers) == len(taken) else None,
        basis=f"the worst of {len(taken)} loads ({_told(worst)}), {len(samples):,} {noun}; "
        "one-sided 99 % order-statistic bound over all looks, for those that their clusters leave "
        "independent",
        trouble=_client(budget, cells),
        unproven=f"a load's {noun} are worth {least:.0f} independent ones at the least; more "
        "--requests or a longer --time-limit add some",
    )


def _bounds(samples: list[int], block: int, looks: int, cells: int) -> stats.Bounds:
    """At the last of ``looks``, before each of which there were half as many samples."""
    if not samples:
        return None, None
    first = math.ceil(len(samples) / 2 ** (looks - 1))
    return stats.bounds_at_look(samples, first, cells, block)


def _nothing(cell: Cell) -> str:
    if not cell.errors:
        return "answers came in one piece: ask for more --tokens"
    why = max(cell.errors, key=lambda reason: cell.errors[reason])
    return f"no request got a whole answer ({why})"


def _client(budget: Budget, cells: Sequence[Cell]) -> str:
    """Why the client and not the server is what was measured; empty when it was not slow."""
    for cell in cells:
        late = stats.quantile_of(cell.late)
        if budget.name != "throughput" and late > LATE_SHARE * budget.limit.base:
            told = Quantity.of(late, "ms")
            return f"{_told(cell)}: the client sent 5 % of its requests {told} late or more"
        if cell.client_share > BUSY:
            return f"{_told(cell)}: the client was busy {cell.client_share:.0%} of the time itself"
    return ""


def errors_figure(cells: Sequence[Cell]) -> Figure:
    """The share of requests without a whole answer, all processes of a rate together."""
    worst: tuple[float, float, float, str] | None = None
    lowers = []
    for rate in sorted({cell.rate for cell in cells}):
        mine = [cell for cell in cells if cell.rate == rate]
        total = sum(cell.requests for cell in mine)
        failed = sum(sum(cell.errors.values()) for cell in mine)
        lower, upper = stats.share_bounds(failed, total)
        lowers.append(lower)
        basis = f"{failed:,} of {counted(total, 'request')} at {rate:g}/s{_reasons(mine)}"
        one = (100.0 * upper, 100.0 * failed / total, 100.0 * lower, basis)
        worst = max(worst or one, one)
    if worst is None:
        return Figure(trouble="nothing was asked")
    upper, share, _, basis = worst
    return Figure(
        measured=share,
        lower=100.0 * max(lowers),
        upper=upper,
        basis=f"the worst rate: {basis}; exact binomial 99 % bound",
        unproven="too few requests to tell; more --requests narrow the bounds",
    )


def _reasons(cells: Sequence[Cell]) -> str:
    """The commonest reasons of errors."""
    found: dict[str, int] = {}
    for cell in cells:
        for why, count in cell.errors.items():
            found[why] = found.get(why, 0) + count
    most = sorted(found.items(), key=lambda item: -item[1])[:2]
    return f" ({'; '.join(f'{count} x {why}' for why, count in most)})" if most else ""


def throughput_figure(budget: Budget, cells: Sequence[Cell], tokens: int) -> Figure:
    """Tokens a second of whole answers at the highest rate, in the slowest process."""
    highest = max((cell.rate for cell in cells), default=0.0)
    mine = [cell for cell in cells if cell.rate == highest]
    if not mine:
        return Figure(trouble="nothing was asked")
    offered = highest * tokens
    slowest = min(cell.tokens_per_second for cell in mine)
    trouble = _client(budget, mine)
    if offered < budget.limit.base:
        trouble = f"only {Quantity(offered, 'tokens/s')} were asked for: state a higher rate"
    return Figure(
        measured=slowest,
        lower=slowest,
        upper=max(cell.tokens_per_second for cell in mine),
        basis=f"tokens of whole answers at {highest:g} requests/s, which ask for "
        f"{Quantity(offered, 'tokens/s')}; the slowest of {counted(len(mine), 'load')}, no "
        "confidence bound",
        trouble=trouble,
    )


def memory_figure(memories: Sequence[Memory], *, peak: bool) -> Figure:
    """The largest of all processes of the server, after its loads."""
    trouble = next((memory.trouble for memory in memories if memory.trouble), "")
    if trouble or not memories:
        return Figure(trouble=trouble or "no process was looked at")
    largest = float(max(max(m.peak, m.rss) if peak else m.rss for m in memories))
    how = "VmHWM since its start" if peak else "smaps_rollup after all loads"
    many = counted(len(memories), "process", "processes")
    return Figure(measured=largest, lower=largest, upper=largest, basis=f"{how}, of {many}")


def _told(cell: Cell) -> str:
    return f"{cell.rate:g} requests/s, process {cell.process}"
