"""Two bundles, measured in turns: A B B A A B B A ..., each time in a fresh process.

What the machine does to one side it soon does to the other: neighbours in this order form a
pair, and only differences within pairs are looked at. Swapping the order in every other pair
takes out what the second of two processes has in common.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tinytx.bundle import Bundle, Precision
from tinytx.measure.compare.estimates import PAIRS
from tinytx.measure.machine import facts
from tinytx.measure.machine.watch import Observation, Watch
from tinytx.measure.policy.scenarios import Scenarios, lengths, load_scenarios
from tinytx.measure.record.protocol import Answer, Task
from tinytx.measure.record.report import ProcessRun
from tinytx.measure.run import launch
from tinytx.measure.run.bench import HUNG_LIMIT, Progress, check_unchanged
from tinytx.runtime.processor import settled

SAMPLING_SHARE = 0.5
"""Of the time limit; the rest is for starting processes."""
LEAST_SECONDS = 0.2
"""For warm-up and samples of one process. All have the same, so that all pairs are alike."""
STEPS = 2_048
"""Next tokens of one process, if its seconds allow."""
SIDES = ("A", "B")


@dataclass(frozen=True)
class InterleaveSettings:
    """What a user can choose."""

    pairs: int = PAIRS
    threads: int | None = None
    """Threads of onnxruntime; None takes the scenario file's."""
    time_limit: float = 300.0
    """Seconds after which no pair is begun."""
    patience: float = 90.0
    """Seconds beyond its sampling time that a worker may take before it counts as hung."""
    precision: tuple[Precision, Precision] | None = None
    """Which model of A and which of B; None takes those that the bundles load by default."""
    scenarios: Scenarios | None = None
    kinds: tuple[str, ...] = ("memory", "next_token", "first_token")
    root: Path = facts.ROOT
    workers: tuple[tuple[str, ...], tuple[str, ...]] = (launch.WORKER, launch.WORKER)


@dataclass
class Paired:
    """One scenario and its pairs, A's answer first whatever the order in which they ran."""

    name: str
    kind: str
    length: int
    pairs: list[tuple[Answer, Answer]] = field(default_factory=list)
    trouble: str = ""


@dataclass(frozen=True)
class Interleaved:
    """All that was measured."""

    bundles: tuple[Bundle, Bundle]
    scenarios: list[Paired]
    policy: Scenarios
    wanted: int
    """Pairs asked for."""
    done: int
    """Pairs that the time allowed."""
    seconds: float
    seen: Observation
    """The machine before, between and after the processes."""


def interleave(
    a: Path,
    b: Path,
    settings: InterleaveSettings | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Interleaved:
    """Measure both bundles in turns.

    Raises :class:`BundleError` when one is damaged or changes meanwhile, :class:`UsageError` when
    it lacks the precision, and :class:`PrerequisiteError` when this machine cannot be observed.
    """
    settings = settings or InterleaveSettings()
    chosen = settings.precision or (None, None)
    bundles = (settled(Bundle(a), chosen[0]), settled(Bundle(b), chosen[1]))
    for bundle in bundles:
        bundle.check_files()
    policy = settings.scenarios or load_scenarios()
    if settings.threads:
        processes = msgspec.structs.replace(policy.processes, threads=settings.threads)
        policy = msgspec.structs.replace(policy, processes=processes)
    start = time.monotonic()
    scenarios = _scenarios(bundles, policy, settings.kinds)
    with Watch(settings.root) as watch:
        done = _run_all(scenarios, bundles, policy, settings, watch, progress)
        seen = watch.finish()
    for bundle in bundles:
        check_unchanged(bundle)
    seconds = time.monotonic() - start
    return Interleaved(bundles, scenarios, policy, settings.pairs, done, seconds, seen)


def _scenarios(
    bundles: tuple[Bundle, Bundle], policy: Scenarios, kinds: tuple[str, ...]
) -> list[Paired]:
    """Lengths that both models have: "longest" is that of the one with the shorter context."""
    longest = min(bundle.manifest.model.max_seq_length for bundle in bundles)
    found = [Paired("memory", "memory", longest)]
    for length in lengths(policy.next_token.contexts, longest):
        found.append(Paired(f"next token at {length}", "next_token", length))
    for length in lengths(policy.first_token.prompts, longest - 1):
        found.append(Paired(f"first token after {length}", "first_token", length))
    return [scenario for scenario in found if scenario.kind in kinds]


def _run_all(
    scenarios: list[Paired],
    bundles: tuple[Bundle, Bundle],
    policy: Scenarios,
    settings: InterleaveSettings,
    watch: Watch,
    progress: Callable[[Progress], None] | None,
) -> int:
    """One process at a time. Returns the number of pairs that were measured."""
    deadline = time.monotonic() + settings.time_limit
    total = settings.pairs * len(scenarios)
    seconds = max(settings.time_limit / (2 * total) * SAMPLING_SHARE, LEAST_SECONDS)
    for pair in range(settings.pairs):
        if pair and time.monotonic() >= deadline:
            return pair
        for number, scenario in enumerate(scenarios):
            if progress:
                doing = f"{scenario.name} (pair {pair + 1} of {settings.pairs})"
                progress(Progress(pair * len(scenarios) + number, total, doing))
            if scenario.trouble:
                continue
            if sum(launch.HUNG in other.trouble for other in scenarios) >= HUNG_LIMIT:
                scenario.trouble = "not run: two other scenarios hung"
                continue
            _run_pair(scenario, bundles, policy, settings, seconds, reverse=pair % 2 == 1)
            watch.glance(scenario.name)
    if progress:
        progress(Progress(total, total, "done"))
    return settings.pairs


def _run_pair(
    scenario: Paired,
    bundles: tuple[Bundle, Bundle],
    policy: Scenarios,
    settings: InterleaveSettings,
    seconds: float,
    *,
    reverse: bool,
) -> None:
    """One process of each side; the first that fails ends the scenario."""
    answers: dict[str, Answer] = {}
    for side in SIDES[::-1] if reverse else SIDES:
        number = SIDES.index(side)
        task = _task(scenario, bundles[number], policy, seconds)
        timeout = settings.patience + 2.0 * seconds
        run: ProcessRun = launch.run_worker(task, timeout, settings.workers[number])
        if run.answer is None:
            scenario.trouble = f"{side}, {scenario.name}: {run.trouble}"
            return
        answers[side] = run.answer
    scenario.pairs.append((answers["A"], answers["B"]))


def _task(scenario: Paired, bundle: Bundle, policy: Scenarios, seconds: float) -> Task:
    samples = {
        "next_token": policy.next_token.first_look,
        "first_token": policy.first_token.samples,
    }
    return Task(
        bundle=str(bundle.folder.resolve()),
        kind=scenario.kind,
        length=scenario.length,
        threads=policy.processes.threads,
        samples=samples.get(scenario.kind, 1),
        block=policy.next_token.block,
        seconds=seconds,
        sampling=policy.sampling,
        warm_up=policy.warm_up,
        precision=bundle.manifest.precision,
    )
