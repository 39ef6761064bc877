"""Stored reports in the order of their dates, one series per machine that can be compared.

Reports of different processors, core counts, threads or precisions are never on one line. Bundles
are: that a new bundle is slower is what a trend is for, so each point says which bundle it is.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinytx.errors import TinytxError, UsageError, os_errors_as
from tinytx.measure.machine.conditions import cores_told
from tinytx.measure.policy.budgets import Quantity, Row, Verdict
from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import Report, moment_of, row_document
from tinytx.wording import counted

log = logging.getLogger(__name__)
BARS = "▁▂▃▄▅▆▇█"
LEAST_SPAN = 0.2
"""Share of the highest figure that a sparkline's height stands for at least: noise looks flat."""


@dataclass(frozen=True)
class Point:
    """One report, without its samples."""

    file: str
    started_at: str
    bundle: str
    tinytx: str
    verdict: Verdict
    rows: tuple[Row, ...]

    @property
    def moment(self) -> datetime:
        """When it was measured, in UTC; what tells no moment comes first."""
        return moment_of(self.started_at) or datetime.min.replace(tzinfo=UTC)

    @property
    def date(self) -> str:
        """The day, in UTC."""
        found = moment_of(self.started_at)
        return f"{found:%Y-%m-%d}" if found else "no date"

    def row(self, budget: str) -> Row | None:
        """The verdict on one budget; None when this report did not judge it."""
        return next((row for row in self.rows if row.budget.name == budget), None)


@dataclass
class Series:
    """The reports of one machine, oldest first."""

    machine: str
    points: list[Point] = field(default_factory=list)

    @property
    def count(self) -> str:
        """How many reports, in words."""
        return counted(len(self.points), "report")

    @property
    def budgets(self) -> list[str]:
        """The names of all budgets that any report judged, in order of first appearance."""
        return list(dict.fromkeys(row.budget.name for p in self.points for row in p.rows))


@dataclass(frozen=True)
class History:
    """All series, and the files that are no reports, each with the reason."""

    series: list[Series]
    skipped: list[str]


def read_history(folder: Path) -> History:
    """Every report (``*.json``) in ``folder``. Raises :class:`UsageError` when there is none."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(
            f"--history {folder} {what}", "name a folder with files of `tinytx bench --report`"
        )
    with os_errors_as(UsageError, f"read the folder {folder}"):
        files = sorted(folder.glob("*.json"))
    found: dict[str, Series] = {}
    skipped = []
    for path in files:
        try:
            report = read_report(path)
        except TinytxError as error:
            skipped.append(error.message)
            continue
        machine = machine_of(report)
        found.setdefault(machine, Series(machine)).points.append(_point(path, report))
    if not found:
        raise UsageError(
            f"{folder} holds no report that can be read"
            + (f" (other JSON files: {len(skipped)}; the first: {skipped[0]})" if skipped else ""),
            "store some: tinytx bench BUNDLE --report DIR/NAME.json",
        )
    for series in found.values():
        series.points.sort(key=lambda point: (point.moment, point.file))
    newest_first = sorted(found.values(), key=lambda one: one.points[-1].moment, reverse=True)
    return History(newest_first, skipped)


def machine_of(report: Report) -> str:
    """What must be equal for figures to be comparable, in words."""
    machine = report.before
    place = machine.processor
    if machine.device and machine.device != machine.processor:
        place = f"{machine.device} ({machine.processor})"
    processes = report.settings.get("processes")
    threads = processes.get("threads") if isinstance(processes, Mapping) else None
    parts = [
        place,
        machine.architecture,
        f"{machine.usable_cores} of {counted(machine.cores, 'core')}",
    ]
    if isinstance(threads, int):
        parts.append(counted(threads, "thread"))
    parts.append(report.bundle.precision)
    if machine.emulation:
        parts.append("emulated")
    return ", ".join([*parts, *confinement_of(report)])


def confinement_of(report: Report) -> list[str]:
    """What held the bench, in words: a container, limits; nothing on the machine itself."""
    machine = report.before
    told = ["in a container"] if report.container or machine.container else []
    limit = report.container.limits.memory if report.container else None
    if limit := limit or machine.group_limit:
        told.append(f"at most {Quantity.of(limit, 'MB')}")
    if machine.cpu_quota is not None:
        told.append(f"a quota of {cores_told(machine.cpu_quota)}")
    return told


def _point(path: Path, report: Report) -> Point:
    return Point(
        file=path.name,
        started_at=report.started_at,
        bundle=report.bundle.id,
        tinytx=report.tinytx,
        verdict=report.verdict,
        rows=tuple(report.budgets),
    )


def measured(series: Series, budget: str) -> list[float | None]:
    """The measured figure of each report, in bytes or nanoseconds."""
    rows = [point.row(budget) for point in series.points]
    return [None if row is None or row.measured is None else row.measured.base for row in rows]


def sparkline(values: list[float | None]) -> str:
    """One bar per value; a dot where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "·" * len(values)
    high = max(known)
    low = min(*known, high * (1.0 - LEAST_SPAN))
    span = high - low
    last = len(BARS) - 1

    def bar(value: float | None) -> str:
        if value is None:
            return "·"
        return BARS[round(last * (value - low) / span)] if span > 0.0 else BARS[0]

    return "".join(bar(value) for value in values)


def change(values: list[float | None]) -> float | None:
    """The last known figure against the one before, as a share of that one."""
    known = [value for value in values if value is not None]
    return known[-1] / known[-2] - 1.0 if len(known) > 1 and known[-2] else None


def document(history: History) -> dict[str, Any]:
    """The history as JSON can hold it."""
    return {
        "series": [
            {
                "machine": series.machine,
                "reports": [
                    {
                        "file": point.file,
                        "started_at": point.started_at,
                        "bundle": point.bundle,
                        "tinytx": point.tinytx,
                        "verdict": str(point.verdict),
                        "budgets": [row_document(row) for row in point.rows],
                    }
                    for point in series.points
                ],
            }
            for series in history.series
        ],
        "skipped": history.skipped,
    }
