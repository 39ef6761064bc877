"""From what the worker processes answered to one row per budget."""

from collections.abc import Callable

import msgspec

from tinytx.bundle import GRAPHS, Manifest
from tinytx.measure import stats
from tinytx.measure.machine.conditions import Breach, touching
from tinytx.measure.machine.facts import Machine
from tinytx.measure.policy.budgets import Budget, Figure, Quantity, Row, judge
from tinytx.measure.policy.scenarios import NextToken, Scenarios
from tinytx.measure.record.protocol import Answer, Phases
from tinytx.measure.record.report import ProcessRun, Scenario
from tinytx.measure.verdict.training import training_figure
from tinytx.wording import counted

TOUCHED_BY = {"rss": "memory", "peak_memory": "memory", "next_token_p95": "latency"}
"""The kind of breach that makes each figure meaningless; the others need no measuring here."""


def judge_all(
    budgets: list[Budget],
    manifest: Manifest,
    scenarios: list[Scenario],
    found: list[Breach],
    machine: Machine,
    policy: Scenarios,
) -> list[Row]:
    """One row per budget, in the order of the budgets: never one less."""
    processes = policy.processes.per_scenario
    figures: dict[str, Callable[[], Figure]] = {
        "rss": lambda: memory_figure(scenarios, processes, at_rest=True),
        "peak_memory": lambda: memory_figure(scenarios, processes, at_rest=False),
        "next_token_p95": lambda: latency_figure(scenarios, policy),
        "model_size": lambda: size_figure(manifest),
        "training_20_epochs": lambda: training_figure(manifest.training, machine),
    }
    return [
        judge(budget, figures[budget.name](), touching(found, TOUCHED_BY.get(budget.name, "none")))
        for budget in budgets
    ]


def with_open_questions(rows: list[Row], told: str) -> list[Row]:
    """The rows; those of latency say in their basis what is not known of the processor."""
    return [
        msgspec.structs.replace(row, basis="; ".join(part for part in (row.basis, told) if part))
        if TOUCHED_BY.get(row.budget.name) == "latency"
        else row
        for row in rows
    ]


def size_figure(manifest: Manifest) -> Figure:
    """The size of the graph that was measured, weights and all, as the manifest states it."""
    sizes = {name: facts.size for name, facts in manifest.files.items()}
    graph = GRAPHS[manifest.precision]
    size = float(sizes[graph])
    whole = Quantity.of(sum(sizes.values()), "MB")
    basis = f"the size of {graph}; all {len(sizes)} files of the bundle are {whole}"
    return Figure(measured=size, lower=size, upper=size, basis=basis)


def memory_figure(scenarios: list[Scenario], processes: int, at_rest: bool) -> Figure:
    """The largest figure of all memory processes."""
    chosen = [s for s in scenarios if s.kind == "memory"]
    runs = [run for s in chosen for run in s.processes]
    killed = _killed_at_limit(runs, processes)
    if killed is not None and not at_rest:
        return killed
    phases = [run.answer.memory for run in runs if run.answer and run.answer.memory]
    trouble = _trouble(chosen, processes)
    if not phases:
        return Figure(trouble=trouble)
    if at_rest:
        how = "smaps_rollup after a generation to the longest context"
        figures = [p.at_rest.rss for p in phases]
    else:
        figures, how = _peaks(runs)
    trouble = trouble or _distorted(runs, phases, at_rest)
    if not figures:
        return Figure(trouble=trouble or how)
    largest = float(max(figures))
    span = f"they span {Quantity.of(max(figures) - min(figures), 'MB')}"
    basis = f"{how}; the maximum of {len(figures)} fresh processes, no quantile bound: {span}"
    return Figure(measured=largest, lower=largest, upper=largest, basis=basis, trouble=trouble)


def _killed_at_limit(runs: list[ProcessRun], processes: int) -> Figure | None:
    """A process that the kernel killed at the limit needed more: that proves it."""
    for number, run in enumerate(runs, 1):
        use = run.group
        if run.answer is None and use and use.limit and use.kills and use.at_limit:
            limit = Quantity.of(use.limit, "MB")
            told = f"process {number} of {processes} was killed by the kernel at the limit"
            basis = f"control group with a limit of {limit} and no swap, shown to bite by a canary"
            return Figure(lower=use.limit + 1.0, basis=basis, proof=f"{told} of {limit}")
    return None


def _distorted(runs: list[ProcessRun], phases: list[Phases], at_rest: bool) -> str:
    """What makes figures that were read mean nothing."""
    swapped = max(p.at_rest.swap for p in phases)
    if swapped:
        return f"{Quantity.of(swapped, 'MB')} of the process were in swap, not in memory"
    if any(run.group and run.group.at_limit for run in runs):
        what = "resident set" if at_rest else "peak"
        return f"it lived at the memory limit, by giving pages back: its {what} is cut off there"
    return ""


def _peaks(runs: list[ProcessRun]) -> tuple[list[int], str]:
    """The peak of each process, and how it came about; the control group is a second opinion."""
    phases = [run.answer.memory for run in runs if run.answer and run.answer.memory]
    groups = [run.group.peak for run in runs if run.group and run.group.peak]
    if not all(p.marked for p in phases):
        if len(groups) < len(phases):
            return [], "this kernel keeps no high-water mark (VmHWM) and no control group was made"
        rest = max(p.at_rest.rss for p in phases)
        return [max(peak, rest) for peak in groups], "peak of the control group (no VmHWM here)"
    how = _marks(phases)
    if groups:
        how += f"; control group's peak {max(groups) / 1e6:.1f}, less files that were in memory"
    return [p.peak for p in phases], how


def _marks(phases: list[Phases]) -> str:
    """Where the peak lies, for the process that has the largest."""
    worst = max(phases, key=lambda p: p.peak)
    parts = (
        ("interpreter", worst.interpreter),
        ("load", worst.load),
        ("prompt", worst.prompt),
        ("decode", worst.decode),
    )
    told = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in parts)
    kind = "VmHWM of each phase" if worst.separate else "VmHWM, accumulating (no reset allowed)"
    return f"{kind} in MB: {told}"


def latency_figure(scenarios: list[Scenario], policy: Scenarios) -> Figure:
    """The p95 of the next token in the worst process at the worst context length."""
    chosen = [s for s in scenarios if s.kind == "next_token"]
    processes = policy.processes.per_scenario
    cells = [(s, answer) for s in chosen for answer in s.answers if answer.samples_ns]
    trouble = _trouble(chosen, processes)
    if not cells:
        return Figure(trouble=trouble)
    unsettled = [s.name for s, answer in cells if not answer.settled]
    if unsettled and not trouble:
        trouble = f"{unsettled[0]}: the warm-up did not settle, its windows kept disagreeing"
    bounds = [_bounds(answer, policy, len(chosen) * processes) for _, answer in cells]
    worst, answer = max(cells, key=lambda cell: stats.quantile_of(cell[1].samples_ns))
    uppers = [upper for _, upper in bounds if upper is not None]
    lowers = [lower for lower, _ in bounds if lower is not None]
    counts = [len(answer.samples_ns) for _, answer in cells]
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    basis = (
        f"worst of {len(cells)} processes ({worst.name}), {span} steps each, sampling included; "
        "one-sided 99 % order-statistic bound over all looks, for the steps that the "
        "autocorrelation and the generation blocks leave independent"
    )
    return Figure(
        measured=stats.quantile_of(answer.samples_ns),
        lower=max(lowers, default=None),
        upper=max(uppers) if len(uppers) == len(cells) else None,
        basis=basis + _repeated(chosen),
        trouble=trouble,
        unproven=_undecided(cells, bounds, policy.next_token),
    )


def _repeated(scenarios: list[Scenario]) -> str:
    """Which processes were thrown away, and why: on the machine's word, not on theirs."""
    thrown = [one for scenario in scenarios for one in scenario.discarded]
    if not thrown:
        return ""
    count = counted(len(thrown), "process was", "processes were")
    return f"; {count} disturbed and measured again ({thrown[0].reason})"


def _bounds(answer: Answer, policy: Scenarios, cells: int) -> stats.Bounds:
    """The bounds of one process, which prove nothing before it was watched for long enough."""
    token = policy.next_token
    if _too_short(answer, token):
        return None, None
    return stats.bounds_at_look(answer.samples_ns, token.first_look, cells, token.block)


def _too_short(answer: Answer, token: NextToken) -> bool:
    samples = answer.samples_ns
    return sum(samples) < token.least_seconds * 1e9 and len(samples) < token.most


def _undecided(
    cells: list[tuple[Scenario, Answer]], bounds: list[stats.Bounds], token: NextToken
) -> str:
    """Why the bounds prove nothing: the process whose samples are worth the least."""
    for scenario, answer in cells:
        if _too_short(answer, token):
            return (
                f"{scenario.name}: {counted(len(answer.samples_ns), 'step')} of "
                f"{Quantity.of(sum(answer.samples_ns), 's')} in all were too short to decide "
                f"({token.least_seconds:g} s are needed); a longer --time-limit adds more"
            )
    open_cells = [cell for cell, (_, upper) in zip(cells, bounds, strict=True) if upper is None]
    if not open_cells:
        more = _more([answer for _, answer in cells], token, "narrows them")
        return f"the limit lies between the bounds; {more}"
    worth = [
        (len(a.samples_ns) / stats.cluster_time(a.samples_ns, token.block), s, a)
        for s, a in open_cells
    ]
    least, scenario, answer = min(worth, key=lambda one: one[0])
    return (
        f"{scenario.name}: {counted(len(answer.samples_ns), 'step')}, worth {least:.0f} "
        f"independent ones, were too few to decide; {_more([answer], token, 'adds more')}"
    )


def _more(answers: list[Answer], token: NextToken, does: str) -> str:
    """What would help: time, unless every process had all the steps that it may have."""
    if any(len(answer.samples_ns) < token.most for answer in answers):
        return f"a longer --time-limit {does}"
    return f"it had all of next_token.most = {token.most:,} steps: only --scenarios allows more"


def _trouble(scenarios: list[Scenario], processes: int) -> str:
    """The first thing that went wrong with these scenarios."""
    if not scenarios:
        return "it was not measured"
    for scenario in scenarios:
        if scenario.troubles:
            return scenario.troubles[0]
        if len(scenario.answers) < processes:
            return f"{scenario.name}: only {len(scenario.answers)} of {processes} processes ran"
    return ""
