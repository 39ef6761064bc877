"""Bundle or address, rates and budgets in; report out: loads in an open loop, then judged."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tinytx import __version__
from tinytx.bundle import Bundle
from tinytx.errors import BudgetFailed, MeasurementInvalid, TinytxError, UsageError
from tinytx.measure.load import client, server
from tinytx.measure.load.client import Target
from tinytx.measure.load.judging import Cell, cell_of, decided, joined, judge_all
from tinytx.measure.load.schedule import MOST_REQUESTS, check_rates, schedule
from tinytx.measure.load.server import Memory, Serving
from tinytx.measure.machine import conditions, facts
from tinytx.measure.machine.conditions import Breach
from tinytx.measure.machine.facts import Machine
from tinytx.measure.machine.watch import Observation, Watch
from tinytx.measure.policy.budgets import Budget, Row, Verdict
from tinytx.measure.record.report import overall, row_document

SCHEMA = 1
KIND = "serve"
WARM_UP = 8
"""Requests before the first load, which do not count."""
WARM_UP_RATE = 20.0
LEAST_PROMPT = 4
"""Tokens."""


@dataclass(frozen=True)
class LoadSettings:
    """What a user can choose."""

    rates: tuple[float, ...] = (5.0, 20.0)
    """Requests a second, each a load of its own."""
    requests: int = 160
    """Of each load at first: with three processes 480 a rate, of which none may fail to prove 1 %.
    Doubled until the budgets of time are decided, or time is up."""
    time_limit: float = 300.0
    """Seconds after which no load is doubled."""
    tokens: int = 32
    """Asked for in each request."""
    seed: int = 1
    """Of the arrivals."""
    processes: int = 3
    """Fresh processes of a server that the bench starts."""
    flags: tuple[str, ...] = ()
    """For `tinytx serve`."""
    command: tuple[str, ...] = server.COMMAND
    root: Path = facts.ROOT


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one bench of a server found."""

    schema: int = SCHEMA
    kind: str = KIND
    tinytx: str
    started_at: str
    """ISO 8601, UTC."""
    seconds: float
    verdict: Verdict
    server: Serving
    budgets: list[Row]
    loads: list[Cell]
    memory: list[Memory]
    """Of each process of the server."""
    breaches: list[Breach]
    before: Machine
    after: Machine
    settings: dict[str, Any]
    unproven: list[str]
    """What this bench does not show, in sentences."""


@dataclass(frozen=True)
class Step:
    """How far the bench is."""

    done: int
    total: int
    doing: str


def bench_server(
    bundle: Path | None,
    target: Target | None,
    budgets: list[Budget],
    settings: LoadSettings | None = None,
    progress: Callable[[Step], None] | None = None,
) -> LoadReport:
    """Load the server at ``target``, or fresh ones that serve ``bundle``, and judge them.

    Raises :class:`UsageError` for rates that make no sense and a missing token,
    :class:`DeviceError` when no `tinytx serve` answers, and what a server ended with at its start.
    """
    settings = settings or LoadSettings()
    check_rates(settings.rates)
    if bundle is not None:
        Bundle(bundle).check_files()
    started_at, start = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    run = _Run(settings, budgets, settings.processes if target is None else 1, progress)
    with Watch(settings.root) as watch:
        for number in range(1, run.processes + 1):
            with _server(bundle, target, settings) as (where, pid):
                asyncio.run(run.process(number, where, pid, ours=target is None))
            watch.glance(f"process {number}")
        seen = watch.finish()
    serving, trouble = run.server
    found = conditions.all_breaches(_served(seen, run.ticks))
    rows = judge_all(budgets, run.cells, run.memories, settings.tokens, found, trouble)
    return LoadReport(
        tinytx=__version__,
        started_at=started_at,
        seconds=time.monotonic() - start,
        verdict=overall(rows),
        server=serving,
        budgets=rows,
        loads=run.cells,
        memory=run.memories,
        breaches=found,
        before=seen.before,
        after=seen.after,
        settings={
            "rates": list(settings.rates),
            "requests": settings.requests,
            "tokens": settings.tokens,
            "seed": settings.seed,
            "time_limit": settings.time_limit,
            "processes": run.processes,
            "flags": list(settings.flags),
        },
        unproven=_unproven(serving, run.processes, rows),
    )


class _Run:
    """The loads so far."""

    def __init__(
        self,
        settings: LoadSettings,
        budgets: Sequence[Budget],
        processes: int,
        progress: Callable[[Step], None] | None,
    ) -> None:
        self.settings, self._progress, self.processes = settings, progress, processes
        self._budgets, self._deadline = budgets, time.monotonic() + settings.time_limit
        self.cells: list[Cell] = []
        self.memories: list[Memory] = []
        self.ticks = 0
        self._seen: list[Serving] = []

    async def process(self, number: int, target: Target, pid: int | None, *, ours: bool) -> None:
        """All rates, one after the other, at one process of the server."""
        self._seen.append(await server.asked(target, pid, ours))
        self._check_room()
        before = server.ticks_of(pid)
        await self._load(target, WARM_UP_RATE, WARM_UP)
        for rate in self.settings.rates:
            self._tell(f"{rate:g} requests/s (process {number} of {self.processes})")
            self.cells.append(await self._until_decided(target, rate, number))
        self._seen.append(await server.asked(target, pid, ours))
        self.memories.append(server.memory_of(self._seen[-1]))
        self.ticks += 0 if ours else max(server.ticks_of(pid) - before, 0)
        self._tell("done" if number == self.processes else "a fresh process")

    @property
    def _room(self) -> int:
        """Tokens that a prompt may have, beside the start token and the answer."""
        return self._seen[0].context - self.settings.tokens - 1

    def _check_room(self) -> None:
        if self._room < LEAST_PROMPT:
            raise UsageError(
                f"--tokens {self.settings.tokens} leave no room for a prompt in the context of "
                f"{self._seen[0].context} tokens",
                "ask for fewer tokens",
            )

    async def _until_decided(self, target: Target, rate: float, number: int) -> Cell:
        """The load, and as much again while its times prove nothing and there is time for it."""
        cells = self.processes * len(self.settings.rates)
        began = time.monotonic()
        share = max(self._deadline - began, 0.0) / (cells - len(self.cells))
        cell = cell_of(rate, number, await self._load(target, rate, self.settings.requests))
        while not decided(self._budgets, cell, cells):
            more = cell.requests
            if time.monotonic() + more / rate > began + share or more > MOST_REQUESTS:
                break
            load = await self._load(target, rate, more, seed=self.settings.seed + cell.looks)
            cell = joined(cell, cell_of(rate, number, load))
        return cell

    async def _load(
        self, target: Target, rate: float, count: int, seed: int | None = None
    ) -> client.Load:
        seed = self.settings.seed if seed is None else seed
        arrivals = schedule(rate, count, seed, self._room)
        return await client.run(target, arrivals, self.settings.tokens)

    def _tell(self, doing: str) -> None:
        if self._progress:
            total = self.processes * len(self.settings.rates)
            self._progress(Step(len(self.cells), total, doing))

    @property
    def server(self) -> tuple[Serving, str]:
        """Which one it was, and why all figures mean nothing if it was not one."""
        first = self._seen[0]
        for other in self._seen[1:]:
            if (other.release, other.precision) != (first.release, first.precision):
                return first, (
                    f"it was not one model that was measured: {first.release[:12]} "
                    f"({first.precision}), then {other.release[:12]} ({other.precision})"
                )
        return first, ""


@contextmanager
def _server(
    bundle: Path | None, target: Target | None, settings: LoadSettings
) -> Iterator[tuple[Target, int | None]]:
    if target is not None:
        yield target, server.listening_process(target)
        return
    assert bundle is not None
    with server.started(bundle, settings.flags, settings.command) as one:
        yield one


def _served(seen: Observation, ticks: int) -> Observation:
    """What a server that was there already used of this machine is the measurement's own."""
    counters = seen.after.counters
    own = replace(counters, own=counters.own + ticks)
    return replace(seen, after=replace(seen.after, counters=own))


def _unproven(serving: Serving, processes: int, rows: Sequence[Row]) -> list[str]:
    told = ["requests came over one network path, from one client: what lies between is included"]
    if not serving.ours:
        told.append("one process was measured, as it was found: another start may differ")
        if serving.pid is None:
            told.append(
                "the machine of the server could not be observed: heat, emulation and other "
                "programs there are not known"
            )
    if any(row.budget.name in ("rss", "peak_memory") for row in rows):
        told.append("no memory limit was in force: `tinytx bench BUNDLE` tries one")
    return told


def document(report: LoadReport) -> dict[str, Any]:
    """The report as JSON can hold it."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    plain["budgets"] = [{**row_document(row), "least": row.budget.least} for row in report.budgets]
    plain["machine"] = {name: plain.pop(name) for name in ("before", "after", "breaches")}
    return plain


def failure(report: LoadReport) -> TinytxError | None:
    """The error that the command ends with: exit code 7 or 8; None when all budgets PASS."""
    for verdict, kind, told in (
        (Verdict.FAIL, BudgetFailed, "over budget"),
        (Verdict.INVALID, MeasurementInvalid, "not proven"),
    ):
        titles = [row.budget.title for row in report.budgets if row.verdict is verdict]
        if titles:
            return kind(f"{told}: {', '.join(titles)}")
    return None
