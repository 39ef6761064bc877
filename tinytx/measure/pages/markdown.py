"""A report as Markdown for a pull request: the verdicts in sight, the rest folded away."""

import re
from collections.abc import Iterable, Sequence

from tinytx.measure.pages.figures import phases, told
from tinytx.measure.pages.html import size_of, when
from tinytx.measure.pages.markup import clean
from tinytx.measure.pages.repeat import command
from tinytx.measure.pages.testimony import fact
from tinytx.measure.pages.verdicts import summary
from tinytx.measure.record.report import Report, latency_rows
from tinytx.wording import counted

SIGNS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⚠️"}
MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~>$&<@:-])")


def text(words: str) -> str:
    """``words`` on one line, shown letter by letter: no mark-up and no HTML."""
    one_line = " ".join(clean(words).split())
    return MARKS.sub(
        lambda mark: f"&#{ord(mark[0])};" if mark[0] in "<>&@|:" else rf"\{mark[0]}", one_line
    )


def code(words: str) -> str:
    """``words`` in a code span, whatever they hold."""
    one_line = " ".join(clean(words).split()).replace("|", "¦")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", one_line)), default=0))
    return f"{fence} {one_line} {fence}" if "`" in one_line else f"`{one_line}`"


def render(report: Report) -> str:
    """The whole text."""
    machine = report.before
    place = machine.device or machine.processor
    parts = [
        f"### {SIGNS[report.verdict]} tinytx bench: {report.verdict}",
        f"{summary(report)}. Bundle {code(report.bundle.id[:12])}: "
        f"{report.bundle.parameters:,} parameters, {text(report.bundle.precision)}, "
        f"{size_of(report)}, {report.bundle.bits_per_byte:.3f} bits per byte. Measured on "
        f"{code(place)} ({machine.usable_cores} of {counted(machine.cores, 'core')}), "
        f"{text(when(report.started_at))}.",
        _verdicts(report),
        _reasons(report),
        _folded("Latency", _latency(report)),
        _folded("Memory", _memory(report)),
        _folded("What the memory is made of", _attribution(report)),
        _folded("How each figure came about", _basis(report)),
        _folded("Machine", _machine(report)),
        f"Repeat it: {code(command(report))}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: the first column on the left, the others on the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _verdicts(report: Report) -> str:
    rows = []
    for row in report.budgets:
        limit = f"{'<' if row.budget.strict else '≤'} {row.budget.limit}"
        figures = [text(str(one)) if one else "–" for one in (row.measured, row.upper)]
        verdict = f"{SIGNS[row.verdict]} {row.verdict}"
        rows.append((text(row.budget.title), *figures, text(limit), verdict))
    return grid(("budget", "measured", "99 % bound", "limit", "verdict"), rows)


def _reasons(report: Report) -> str:
    """Why budgets did not pass, and what else was not kept but touched none of them."""
    rows = [row for row in report.budgets if row.reason]
    lines = [f"- **{row.verdict}** {text(row.budget.title)}: {text(row.reason)}" for row in rows]
    said = " ".join(row.reason for row in rows)
    others = [breach.reason for breach in report.breaches if breach.reason not in said]
    lines += [f"- condition not kept: {text(reason)}" for reason in others]
    if report.device is not None and not report.device.here:
        lines.append(f"- for {text(report.device.device.title)}, but not measured on one")
    return "\n".join(lines)


def _latency(report: Report) -> str:
    rows = [
        (text(name), f"{count:,}", *(told(figure / 1e6, "ms") for figure in figures))
        for name, count, *figures in latency_rows(report)
    ]
    return grid(("scenario", "samples", "median", "p95", "slowest"), rows) if rows else ""


def _memory(report: Report) -> str:
    found = phases(report)
    if not found:
        return ""
    worst = max(found, key=lambda one: one.peak)
    figures = (
        ("interpreter and libraries", worst.interpreter),
        ("load", worst.load),
        ("prompt", worst.prompt),
        ("decode", worst.decode),
        ("at rest", worst.at_rest.rss),
    )
    return grid(("phase", "memory"), [(name, told(size / 1e6, "MB")) for name, size in figures])


def _attribution(report: Report) -> str:
    found = report.attribution
    if found is None or not found.parts:
        return ""
    rows = [
        (text(part.name), told(part.bytes / 1e6, "MB"), f"{part.bytes / max(found.total, 1):.1%}")
        for part in found.parts
    ]
    return grid(("part", "size", "share"), rows)


def _basis(report: Report) -> str:
    rows = [row for row in report.budgets if row.basis]
    lines = [f"- {text(row.budget.title)}: {text(row.basis)}" for row in rows]
    if proof := report.limit:
        why = f"{proof.mechanism}, {proof.canary}" if proof.enforced else proof.doubt
        word = "was enforced" if proof.enforced else "could not be enforced by the bench"
        lines.append(f"- a limit of {told(proof.limit / 1e6, 'MB')} {word}: {text(why)}")
    if report.container is not None:
        lines += [f"- {text(one)}" for one in (str(report.container), *report.container.notes)]
    return "\n".join(lines)


def _machine(report: Report) -> str:
    machine = report.after
    names = (
        *("kernel", "governor", "throttled", "throttle_sources", "cpu_quota", "container"),
        *("emulation", "load_1min", "swap_used"),
    )
    rows = [(text(name), text(fact(machine, name))) for name in names]
    versions = [(text(name), text(version)) for name, version in machine.versions.items()]
    return grid(("fact", "found"), [*rows, ("Python", text(machine.python)), *versions])


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>" if content else ""
