"""A report as one HTML file: nothing is fetched, no script runs, light and dark.

The page carries a content security policy that allows no address at all and, by its hash, this
one style sheet. Text from manifests, reports and the machine is escaped where it is placed.
"""

import base64
import hashlib
from pathlib import Path

from tinytx.measure.pages import latency, memory, verdicts
from tinytx.measure.pages.figures import Cell, cells, told
from tinytx.measure.pages.markup import Markup, el, join
from tinytx.measure.pages.repeat import how_to_repeat, settings
from tinytx.measure.pages.tables import facts, numbers_table, section
from tinytx.measure.pages.testimony import testimony
from tinytx.measure.policy.budgets import Quantity
from tinytx.measure.record.report import Report, latency_rows, moment_of
from tinytx.wording import counted

STYLE = Path(__file__).with_name("page.css")


def page(title: str, *content: str) -> str:
    """A whole document around ``content``."""
    style = STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Markup(style)),
    )
    body = el("body", el("main", *content))
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def render(report: Report) -> str:
    """The page of one report."""
    found = cells(report, "next_token", "first_token", "end_to_end")
    title = f"{report.verdict}: tinytx bench of bundle {report.bundle.id[:12]}"
    return page(
        title,
        _header(report),
        section(
            "verdicts",
            "Verdicts",
            verdicts.table(report),
            verdicts.reasons(report),
            _basis(report),
        ),
        section(
            "latency", "The next token against its budget", latency.distribution(report, found)
        ),
        section("contexts", "Latency by context length", latency.contexts(report, found)),
        section("times", "Every latency", _times(report), _processes(found)),
        section("memory", "Memory by phase", memory.by_phase(report), _limit(report)),
        section("why", "What the memory is made of", memory.attribution(report)),
        section("device", "What this says about the device", _device(report)),
        section("machine", "The machine's testimony", testimony(report)),
        section("troubles", "What went wrong", _troubles(report)),
        section("bundle", "The bundle", _bundle(report)),
        section("settings", "Settings and versions", settings(report)),
        section("repeat", "How to repeat it", how_to_repeat(report)),
        _footer(report),
    )


def when(moment: str) -> str:
    """An ISO 8601 moment as people read it; as it is when it is none."""
    found = moment_of(moment)
    return f"{found:%-d %B %Y, %H:%M} UTC" if found else moment or "an unknown time"


def size_of(report: Report) -> str:
    """All files of the bundle."""
    return str(Quantity.of(sum(report.bundle.files.values()), "MB"))


def _header(report: Report) -> Markup:
    bundle, machine = report.bundle, report.before
    place = machine.device or machine.processor
    lede = (
        f"{bundle.parameters:,} parameters in {bundle.precision}, {size_of(report)} in all, "
        f"{bundle.bits_per_byte:.3f} bits per byte of held-out text. Measured on {place} "
        f"({machine.usable_cores} of {counted(machine.cores, 'core')}, {machine.architecture}), "
        f"{when(report.started_at)}, in {report.seconds:,.0f} s."
    )
    name = el("span", "bundle ", el("code", bundle.id[:12]))
    return el(
        "header",
        el("p", "tinytx bench", el("span", " · ", aria_hidden="true"), name, class_="overline"),
        el("h1", verdicts.badge(report.verdict), " ", verdicts.summary(report)),
        el("p", lede, class_="lede"),
    )


def _basis(report: Report) -> Markup:
    pairs = [(row.budget.title, row.basis) for row in report.budgets if row.basis]
    if not pairs:
        return Markup()
    return el("details", el("summary", "How each figure came about"), facts(pairs))


def _times(report: Report) -> Markup:
    rows = [
        (name, f"{count:,}", *(told(figure / 1e6, "ms") for figure in figures))
        for name, count, *figures in latency_rows(report)
    ]
    if not rows:
        return Markup()
    headings = ("scenario", "samples", "median", "p95", "slowest")
    return numbers_table("The worst process of each scenario", headings, rows, (1, 2, 3, 4))


def _processes(found: list[Cell]) -> Markup:
    rows = [
        (
            f"{cell.scenario.name}, process {cell.process}",
            f"{cell.count:,}",
            *(told(figure, "ms") for figure in (cell.median, cell.p95, cell.slowest)),
        )
        for cell in found
    ]
    if not rows:
        return Markup()
    headings = ("process", "samples", "median", "p95", "slowest")
    table = numbers_table("All processes", headings, rows, (1, 2, 3, 4))
    return el("details", el("summary", f"All {len(rows)} processes"), table)


def _limit(report: Report) -> Markup | None:
    """Whether the peak budget was enforced while the workload ran."""
    proof = report.limit
    if proof is None:
        return None
    word = "The limit bites" if proof.enforced else "The limit was not enforced"
    if not proof.enforced and proof.holds is not None:
        word = "The bench could enforce no limit, but one set from outside holds it"
    pairs = [
        ("limit", told(proof.limit / 1e6, "MB")),
        ("mechanism", proof.mechanism or "none"),
        ("canary", proof.canary or "not run"),
        ("reason", proof.doubt),
        ("remedy", proof.remedy),
    ]
    kind = "good" if proof.enforced else "bad"
    told_pairs = [(name, text) for name, text in pairs if text]
    return join(el("h3", "Memory limit"), el("p", word, class_=kind), facts(told_pairs))


def _device(report: Report) -> Markup | None:
    """The device that was asked for, and how far each figure speaks of it."""
    found = report.device
    if found is None:
        return None
    here = "This machine is one." if found.here else "This machine is not one."
    titles = {row.budget.name: row.budget.title for row in report.budgets}
    warnings = el("ul", *(el("li", text) for text in found.warnings), class_="reasons")
    return join(
        el("p", el("strong", f"{found.device}. {here}")),
        warnings if found.warnings else None,
        facts((titles.get(name, name), text) for name, text in found.says.items()),
        el("ul", *(el("li", text) for text in found.device.expect), class_="quiet"),
    )


def _troubles(report: Report) -> Markup:
    items = [el("li", trouble) for one in report.scenarios for trouble in one.troubles]
    items += [
        el("li", f"{one.name}: a process was measured again, since {discarded.reason}")
        for one in report.scenarios
        for discarded in one.discarded
    ]
    return el("ul", *items, class_="reasons") if items else Markup()


def _bundle(report: Report) -> Markup:
    bundle = report.bundle
    rows = [
        (name, f"{size:,}", el("code", bundle.sha256.get(name, "not recorded")))
        for name, size in bundle.files.items()
    ]
    return join(
        facts([("id (sha256 of its manifest)", el("code", bundle.id))]),
        numbers_table("Files", ("file", "bytes", "sha256"), rows, (1,)) if rows else None,
    )


def _footer(report: Report) -> Markup:
    text = (
        f"Made by tinytx {report.tinytx}. MB is 1,000,000 bytes. PASS: the one-sided 99 % upper "
        "confidence bound of the figure is within the limit. FAIL: the 99 % lower bound is over "
        "it. INVALID: neither is proven, or the machine made the figure meaningless."
    )
    return el("footer", el("p", text))
