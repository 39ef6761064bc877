"""The report: one JSON document with a versioned schema, raw samples included."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tinytx.errors import BudgetFailed, MeasurementInvalid, TinytxError, UsageError, os_errors_as
from tinytx.measure import stats
from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.limits.confinement import ContainerFacts
from tinytx.measure.limits.groups import GroupUse
from tinytx.measure.machine.conditions import Breach, Use
from tinytx.measure.machine.facts import Machine
from tinytx.measure.machine.neighbours import Busy
from tinytx.measure.machine.watch import Moment
from tinytx.measure.memory.attribution import Attribution
from tinytx.measure.policy.budgets import Row, Verdict
from tinytx.measure.policy.devices import Standing
from tinytx.measure.record.protocol import Answer
from tinytx.workspace import write_json

SCHEMA = 1


class ProcessRun(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process: its answer, or what went wrong."""

    answer: Answer | None = None
    trouble: str = ""
    group: GroupUse | None = None
    """What the control group saw, when the process had one of its own."""


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """A process that others disturbed, and whose place another one took."""

    run: ProcessRun
    reason: str


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario and all its processes, in the order in which they ran."""

    name: str
    kind: str
    length: int
    processes: list[ProcessRun]
    discarded: list[Discarded] = []
    """Processes whose samples do not count."""

    @property
    def answers(self) -> list[Answer]:
        return [run.answer for run in self.processes if run.answer is not None]

    @property
    def troubles(self) -> list[str]:
        return [f"{self.name}: {run.trouble}" for run in self.processes if run.trouble]


class BundleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle was measured."""

    id: str
    path: str
    files: dict[str, int]
    """Sizes in bytes."""
    sha256: dict[str, str] = {}
    """Of each file."""
    parameters: int
    precision: str
    bits_per_byte: float
    val_sha256: str = ""
    """Of the text that the bits per byte were measured on."""
    tokenizer_sha256: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one bench found."""

    schema: int = SCHEMA
    tinytx: str
    started_at: str
    """ISO 8601, UTC."""
    seconds: float
    verdict: Verdict
    bundle: BundleFacts
    budgets: list[Row]
    scenarios: list[Scenario]
    breaches: list[Breach]
    processor_use: Use | None
    before: Machine
    after: Machine
    settings: dict[str, Any]
    limit: LimitProof | None = None
    """Whether the peak budget was enforced while memory was measured."""
    attribution: Attribution | None = None
    """Where the resident memory went, when it was asked for."""
    during: list[Moment] = []
    """Light looks at the machine, one after each process."""
    neighbours: list[Busy] = []
    """The programs that used the processors most, besides the bench."""
    device: Standing | None = None
    """What the figures say about the device that was asked for."""
    container: ContainerFacts | None = None
    """The container that all of this ran in, if the bench put it into one."""


def overall(rows: list[Row]) -> Verdict:
    """FAIL when any budget fails, else INVALID when any is, else PASS."""
    verdicts = {row.verdict for row in rows}
    for verdict in (Verdict.FAIL, Verdict.INVALID):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


def document(report: Report) -> dict[str, Any]:
    """The report as JSON can hold it."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    plain["budgets"] = [row_document(row) for row in report.budgets]
    plain["machine"] = {
        "before": plain.pop("before"),
        "during": plain.pop("during"),
        "after": plain.pop("after"),
        "neighbours": plain.pop("neighbours"),
        "processor_use": plain.pop("processor_use"),
        "breaches": plain.pop("breaches"),
    }
    return plain


def row_document(row: Row) -> dict[str, Any]:
    """One verdict: every figure is in ``unit``."""
    figures = {
        name: None if quantity is None else quantity.amount
        for name, quantity in (
            ("measured", row.measured),
            ("upper", row.upper),
            ("lower", row.lower),
        )
    }
    return {
        "name": row.budget.name,
        "limit": row.budget.limit.amount,
        "strict": row.budget.strict,
        "unit": row.budget.limit.unit,
        **figures,
        "verdict": str(row.verdict),
        "reason": row.reason,
        "basis": row.basis,
    }


def latency_rows(report: Report) -> list[tuple[str, int, float, float, float]]:
    """For people: scenario, samples, and median, p95 and slowest in ns.

    Per scenario the process with the highest p95 is shown, as it is the one that is judged.
    """
    rows = []
    loads = [a.load_ns for s in report.scenarios for a in s.answers if a.load_ns]
    for name, samples in [("load the bundle", loads), *_worst_samples(report)]:
        if samples:
            middle = stats.quantile_of(samples, 0.5)
            p95 = stats.quantile_of(samples)
            rows.append((name, len(samples), middle, p95, float(max(samples))))
    return rows


def _worst_samples(report: Report) -> list[tuple[str, list[int]]]:
    worst = []
    for scenario in report.scenarios:
        sets = [answer.samples_ns for answer in scenario.answers if answer.samples_ns]
        if sets:
            worst.append((scenario.name, max(sets, key=stats.quantile_of)))
        tokenised = [answer.tokenise_ns for answer in scenario.answers if answer.tokenise_ns]
        if tokenised:
            worst.append(("tokenise its prompt", max(tokenised, key=stats.quantile_of)))
    return worst


def moment_of(started_at: str) -> datetime | None:
    """The moment of an ISO 8601 text, in UTC, which is meant where it names no zone."""
    try:
        moment = datetime.fromisoformat(started_at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def failure(report: Report) -> TinytxError | None:
    """The error that the command ends with: exit code 7 or 8; None when all budgets PASS."""
    failed = [row.budget.title for row in report.budgets if row.verdict is Verdict.FAIL]
    if failed:
        return BudgetFailed(f"over budget: {', '.join(failed)}")
    invalid = [row.budget.title for row in report.budgets if row.verdict is Verdict.INVALID]
    if invalid:
        return MeasurementInvalid(f"not proven: {', '.join(invalid)}")
    return None


def write(path: Path, report: Report) -> None:
    """Write the JSON document, whole or not at all. Raises :class:`UsageError`."""
    with os_errors_as(UsageError, f"write the report to {path}"):
        write_json(path, document(report))
