"""Bundle and budgets in, report out: plan the scenarios, run them in fresh processes, judge."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from tinytx import __version__
from tinytx.bundle import Bundle, Precision
from tinytx.errors import BundleError
from tinytx.measure.limits.canary import COMMAND, Guard, guard
from tinytx.measure.machine import conditions, facts
from tinytx.measure.machine.watch import Watch, difference
from tinytx.measure.memory.attribution import Attribution
from tinytx.measure.policy import devices
from tinytx.measure.policy.budgets import Budget
from tinytx.measure.policy.devices import Device
from tinytx.measure.policy.scenarios import Scenarios, lengths, load_scenarios
from tinytx.measure.record.protocol import Answer, Looks, Task
from tinytx.measure.record.report import (
    BundleFacts,
    Discarded,
    ProcessRun,
    Report,
    Scenario,
    overall,
)
from tinytx.measure.run import launch
from tinytx.measure.verdict.judging import judge_all, with_open_questions
from tinytx.runtime.processor import settled

UNJUDGED_SECONDS = 5.0
"""The most that a process of a scenario without a budget may sample."""
REPEATS = 3
"""Processes that may be measured once more: what disturbs more of them is no passing thing."""
HUNG_LIMIT = 2
"""Scenarios that may hang before the rest is given up."""


@dataclass(frozen=True)
class Progress:
    """How far the bench is."""

    done: int
    total: int
    doing: str


@dataclass(frozen=True)
class BenchSettings:
    """What a user can choose."""

    threads: int | None = None
    """Threads of onnxruntime; None takes the scenario file's."""
    time_limit: float = 300.0
    """Seconds after which no more samples are added (processes still start and load)."""
    patience: float = 90.0
    """Seconds beyond its sampling time that a worker may take before it counts as hung."""
    stop_after: float = math.inf
    """Seconds after which no process starts or goes on; what was not measured says so."""
    latency_first: bool = False
    """Whether memory comes last: a model that is too slow may leave no time for it."""
    precision: Precision | None = None
    """Which of the bundle's models; None is the one that it loads by default."""
    scenarios: Scenarios | None = None
    device: Device | None = None
    """The device that the figures are meant for, which need not be this machine."""
    root: Path = facts.ROOT
    worker: tuple[str, ...] = launch.WORKER
    canary: tuple[str, ...] = COMMAND
    why: bool = False
    """Whether to find out where the resident memory goes, in one more process."""
    staged: tuple[str, ...] = launch.STAGED


@dataclass
class _Plan:
    """One scenario, and the processes that have run."""

    name: str
    kind: str
    length: int
    weight: int = 1
    """Its share of the time, relative to the others."""
    processes: list[ProcessRun] = field(default_factory=list)
    discarded: list[Discarded] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return any(run.trouble for run in self.processes)


def run_bench(
    bundle_path: Path,
    budgets: list[Budget],
    settings: BenchSettings | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Measure the bundle and judge it.

    Raises :class:`BundleError` when it is damaged or changes meanwhile, :class:`UsageError` when
    it lacks the precision, and :class:`PrerequisiteError` when this machine cannot be observed.
    """
    settings = settings or BenchSettings()
    bundle = Bundle(bundle_path)
    bundle.check_files()
    settled(bundle, settings.precision)
    scenarios = settings.scenarios or load_scenarios()
    if settings.threads:
        processes = msgspec.structs.replace(scenarios.processes, threads=settings.threads)
        scenarios = msgspec.structs.replace(scenarios, processes=processes)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.monotonic()
    plans = _plan(bundle, scenarios)
    tasks = _Tasks(bundle, budgets, scenarios, plans)
    peaks = [budget.limit.base for budget in budgets if budget.name == "peak_memory"]
    with (
        guard(min(peaks, default=None), settings.root, settings.canary) as guarded,
        Watch(settings.root) as watch,
    ):
        _run_all(plans, tasks, settings, watch, guarded, progress)
        seen = watch.finish()
    attribution = _attribute(tasks.task(plans[0], 0.0), settings) if settings.why else None
    check_unchanged(bundle)
    done = [
        Scenario(
            name=p.name,
            kind=p.kind,
            length=p.length,
            processes=p.processes,
            discarded=p.discarded,
        )
        for p in plans
    ]
    judged = [answer for s in done if s.kind == "next_token" for answer in s.answers]
    found = conditions.all_breaches(seen)
    held = conditions.quota(map(_held, judged), seen.after.cpu_quota)
    rival = seen.after.cpu_quota if seen.elapsed().quota_stalled_us else None
    waited = (answer.waited for answer in judged)
    found += held or conditions.waiting(waited, seen.neighbours, rival)
    rows = judge_all(budgets, bundle.manifest, done, found, seen.after, scenarios)
    rows = with_open_questions(rows, conditions.open_questions(seen))
    device = None
    if settings.device:
        threads = scenarios.processes.threads
        device = devices.standing(settings.device, seen.after, budgets, threads)
        rows = devices.annotated(rows, device)
    return Report(
        tinytx=__version__,
        started_at=started_at,
        seconds=time.monotonic() - start,
        verdict=overall(rows),
        bundle=bundle_facts(bundle),
        budgets=rows,
        scenarios=done,
        breaches=found,
        processor_use=conditions.use_of(seen.elapsed()),
        before=seen.before,
        during=seen.during,
        after=seen.after,
        neighbours=seen.neighbours,
        settings={
            "time_limit": settings.time_limit,
            **({"precision": settings.precision} if settings.precision else {}),
            **msgspec.to_builtins(scenarios),
        },
        device=device,
        limit=guarded.proof,
        attribution=attribution,
    )


def _plan(bundle: Bundle, scenarios: Scenarios) -> list[_Plan]:
    longest = bundle.manifest.model.max_seq_length
    plans = [_Plan("memory", "memory", longest)]
    for length in lengths(scenarios.next_token.contexts, longest):
        plans.append(_Plan(f"next token at {length}", "next_token", length, weight=4))
    for length in lengths(scenarios.first_token.prompts, longest - 1):
        plans.append(_Plan(f"first token after {length}", "first_token", length))
    if scenarios.end_to_end.samples:
        tokens = scenarios.end_to_end.tokens
        plans.append(_Plan(f"end to end, {tokens} tokens", "end_to_end", tokens))
    return plans


@dataclass(frozen=True)
class _Tasks:
    """Makes the task of one process."""

    bundle: Bundle
    budgets: list[Budget]
    scenarios: Scenarios
    plans: list[_Plan]

    def task(self, plan: _Plan, seconds: float) -> Task:
        policy = self.scenarios
        looks = self._looks() if plan.kind == "next_token" else None
        samples = {
            "next_token": policy.next_token.first_look,
            "first_token": policy.first_token.samples,
            "end_to_end": policy.end_to_end.samples,
        }
        return Task(
            bundle=str(self.bundle.folder.resolve()),
            kind=plan.kind,
            length=plan.length,
            threads=policy.processes.threads,
            precision=self.bundle.manifest.precision,
            samples=samples.get(plan.kind, 1),
            block=policy.next_token.block,
            seconds=seconds if looks else min(seconds, UNJUDGED_SECONDS),
            sampling=policy.sampling,
            warm_up=policy.warm_up,
            prompt=policy.end_to_end.prompt,
            looks=looks,
        )

    def _looks(self) -> Looks | None:
        limits = [b.limit.base for b in self.budgets if b.name == "next_token_p95"]
        if not limits:
            return None
        policy = self.scenarios.next_token
        contexts = sum(plan.kind == "next_token" for plan in self.plans)
        cells = contexts * self.scenarios.processes.per_scenario
        return Looks(
            limit_ns=limits[0],
            first=policy.first_look,
            most=policy.most,
            least_ns=policy.least_seconds * 1e9,
            block=policy.block,
            cells=cells,
        )


def _run_all(
    plans: list[_Plan],
    tasks: _Tasks,
    settings: BenchSettings,
    watch: Watch,
    guard: Guard,
    progress: Callable[[Progress], None] | None,
) -> None:
    """One process at a time; each round runs every scenario once, so that time is spread.

    A process of the judged latency that others disturbed is measured once more, at the end.
    """
    deadline = time.monotonic() + settings.time_limit
    end = time.monotonic() + settings.stop_after
    rounds = tasks.scenarios.processes.per_scenario
    queue = [(number, plan) for number in range(1, rounds + 1) for plan in plans]
    if settings.latency_first:
        queue.sort(key=lambda one: one[1].kind == "memory")
    for done, (number, plan) in enumerate(queue):  # which grows while it is worked off
        if progress:
            which = f"process {number} of {rounds}" if number <= rounds else "one process again"
            doing = f"{plan.name} ({which})"
            progress(Progress(done, len(queue), doing))
        if plan.broken:
            continue
        if time.monotonic() > end:
            plan.processes.append(ProcessRun(trouble="not run: the time was up"))
            continue
        hung = sum(run.trouble.startswith(launch.HUNG) for p in plans for run in p.processes)
        if hung >= HUNG_LIMIT:
            plan.processes.append(ProcessRun(trouble="not run: two other scenarios hung"))
            continue
        waiting = sum(p.weight for _, p in queue[done:] if not p.broken)
        share = max(deadline - time.monotonic(), 0.0) * plan.weight / waiting
        task = tasks.task(plan, share)
        with guard.group() if plan.kind == "memory" else nullcontext() as group:
            again = sum(len(p.discarded) for p in plans) < REPEATS and number <= rounds
            repeat_until = deadline if again else 0.0
            timeout = min(settings.patience + 2.0 * task.seconds, max(end - time.monotonic(), 0.1))
            start_one = partial(launch.run_worker, task, timeout, settings.worker, group)
            if _measure(plan, start_one, watch, repeat_until):
                queue.append((number + rounds, plan))
    if progress:
        progress(Progress(len(queue), len(queue), "done"))


def _measure(plan: _Plan, start_one: Callable[[], ProcessRun], watch: Watch, until: float) -> bool:
    """Run one process; True when others disturbed it and one as long can end in time."""
    start = time.monotonic()
    run = start_one()
    watch.glance(plan.name)
    reason = _disturbed(plan, run, watch)
    if not reason or 2.0 * time.monotonic() - start > until:
        plan.processes.append(run)
        return False
    plan.discarded.append(Discarded(run=run, reason=reason))
    watch.discard()
    return True


def _disturbed(plan: _Plan, run: ProcessRun, watch: Watch) -> str:
    """Why the process that ran last is to be measured again, from the machine's testimony."""
    if plan.kind != "next_token" or run.answer is None:
        return ""
    elapsed = difference(*watch.last())
    own = conditions.quota([_held(run.answer)], None)  # nobody else took that time
    waited = None if own else run.answer.waited
    return conditions.disturbance(elapsed, waited, watch.before.cores)


def _held(answer: Answer) -> tuple[int | None, int]:
    return answer.quota_us, sum(answer.samples_ns)


def _attribute(task: Task, settings: BenchSettings) -> Attribution:
    """Where memory goes, by one more process; without a group: its pages are looked at closely."""
    task = msgspec.structs.replace(task, kind="attribution")
    run = launch.run_worker(task, settings.patience, settings.staged)
    if run.answer is None or run.answer.attribution is None:
        return Attribution.missing(run.trouble or "its worker process gave no attribution")
    return run.answer.attribution


def check_unchanged(bundle: Bundle) -> None:
    """Raise :class:`BundleError` when the bundle is no longer the one that was opened."""
    try:
        again = Bundle(bundle.folder)
        again.check_files()
    except BundleError as error:
        raise BundleError(f"the bundle changed while it was measured: {error.message}") from error
    if again.id != bundle.id:
        raise BundleError(f"the bundle changed while it was measured: it is now {again.id[:12]}")


def bundle_facts(bundle: Bundle) -> BundleFacts:
    """What a report says about its bundle."""
    manifest = bundle.manifest
    return BundleFacts(
        id=bundle.id,
        path=str(bundle.folder),
        files={name: facts.size for name, facts in manifest.files.items()},
        sha256={name: facts.sha256 for name, facts in manifest.files.items()},
        parameters=manifest.model.parameters,
        precision=manifest.precision,
        bits_per_byte=manifest.bits_per_byte(manifest.precision),
        val_sha256=manifest.provenance.val_sha256,
        tokenizer_sha256=manifest.provenance.tokenizer_sha256,
    )
