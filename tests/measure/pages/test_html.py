"""The page of a report: complete, closed to the network, readable, and safe from its contents."""

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.machine.conditions import Breach
from tinytx.measure.pages import html
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.policy.devices import load_device, standing
from tinytx.measure.record.report import Discarded, ProcessRun, Report

Page = Any  # of conftest

HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e]]>"
Read = Callable[[str], Page]
Sampled = Callable[[Report, list[int]], Report]


@pytest.fixture
def page(report: Report, read: Read) -> Page:
    return read(html.render(report))


def test_the_verdict_is_the_heading_and_each_budget_a_row(page: Page, report: Report) -> None:
    assert "✓ PASS All 5 budgets are kept" in page.text.replace("  ", " ")
    for row in report.budgets:
        assert row.budget.title in page.text
        assert str(row.budget.limit) in page.text
        assert str(row.measured) in page.text


def test_no_address_is_allowed_no_script_runs_and_the_style_is_named_by_its_hash(
    page: Page,
) -> None:
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "a"}
    attributes = {name for _, found in page.tags for name in found}
    assert not attributes & {"style", "src", "href", "onload", "onerror", "srcset"}
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_it_is_accessible(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 2
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(pictures) == 3 + 5  # distribution, contexts, memory, and a scale per budget
    for picture in pictures:
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    named = {section["aria-labelledby"] for section in page.all("section")}
    assert named <= set(ids)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.1, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_in_light_and_dark(page: Page, scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page.style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ink, papers in {
        "ink": ("page", "sheet"),
        "quiet": ("page", "sheet"),
        "pass": ("sheet", "pass-soft"),
        "fail": ("sheet", "fail-soft"),
        "invalid": ("sheet", "invalid-soft"),
        "limit": ("sheet",),
    }.items():
        for paper in papers:
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def hostile(value: Any) -> Any:
    """The same structure with every text made hostile."""
    if isinstance(value, str):
        return value if value in set(Verdict) else HOSTILE
    if isinstance(value, dict):
        return {f"{HOSTILE}{key}": hostile(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(hostile(one) for one in value)
    return value


def made_hostile(report: Report) -> Report:
    """Every text that a manifest, a machine or a file could have put into it."""
    machine = dataclasses.replace(
        report.before, processor=HOSTILE, device=HOSTILE, architecture=HOSTILE,
        features=[HOSTILE], governor=HOSTILE, frequency_driver=HOSTILE, kernel=HOSTILE,
        python=HOSTILE, versions={HOSTILE: HOSTILE}, emulation=[HOSTILE],
        container=HOSTILE, throttle_sources=[HOSTILE],
    )  # fmt: skip
    rows = [replace(row, reason=HOSTILE, basis=HOSTILE) for row in report.budgets]
    scenarios = [
        replace(s, name=HOSTILE, processes=[*s.processes, ProcessRun(trouble=HOSTILE)])
        for s in report.scenarios
    ]
    bundle = replace(
        report.bundle, id=HOSTILE, path=f"/x/{HOSTILE}", precision=HOSTILE,
        files={HOSTILE: 1}, sha256={HOSTILE: HOSTILE},
    )  # fmt: skip
    return replace(
        report, tinytx=HOSTILE, started_at=HOSTILE, before=machine, after=machine, budgets=rows,
        scenarios=scenarios, bundle=bundle, settings=hostile(report.settings),
        breaches=[Breach(HOSTILE, (HOSTILE,), HOSTILE)],
    )  # fmt: skip


def test_hostile_text_from_anywhere_stays_text(report: Report, read: Read) -> None:
    harmless, attacked = read(html.render(report)), read(html.render(made_hostile(report)))
    assert {tag for tag, _ in attacked.tags} <= {tag for tag, _ in harmless.tags} | {"li", "strong"}
    assert "onerror" not in {name for _, found in attacked.tags for name in found}
    assert attacked.style == harmless.style
    assert attacked.text.count("<script>alert(1)</script>") > 20
    assert "\u202e" not in attacked.text


def test_a_million_samples_make_a_page_below_a_megabyte(
    report: Report, with_samples: Sampled
) -> None:
    source = np.random.default_rng(1)
    samples = [int(value) for value in source.lognormal(13.0, 1.0, 1_000_000)]
    scenarios = [s for s in report.scenarios if s.kind != "next_token" or s.length == 256]
    one = [replace(s, processes=s.processes[:1]) for s in scenarios]
    text = html.render(with_samples(replace(report, scenarios=one), samples))
    assert len(text.encode()) < 1_000_000
    assert "1,000,000 steps, none left out" in text


def test_a_report_of_nothing_still_makes_a_page(report: Report, read: Read) -> None:
    empty = replace(
        report, budgets=[], scenarios=[], breaches=[], processor_use=None, settings={},
        started_at="", bundle=replace(report.bundle, files={}, sha256={}, path=""),
    )  # fmt: skip
    page = read(html.render(empty))
    assert "No budget was judged" in page.text
    assert "Too little time went by" in page.text


def test_a_fail_and_an_invalid_say_so_with_their_reasons(report: Report, read: Read) -> None:
    first, second, *others = report.budgets
    rows = [
        replace(first, verdict=Verdict.FAIL, reason="420 MB is over the limit"),
        replace(second, verdict=Verdict.INVALID, reason="the machine was swapping", measured=None,
                upper=None, lower=None),
        *others,
    ]  # fmt: skip
    breach = Breach("swap", ("latency", "memory"), "the machine was swapping")
    text = read(
        html.render(replace(report, verdict=Verdict.FAIL, budgets=rows, breaches=[breach]))
    ).text
    for words in (
        "✕ FAIL",
        "1 of 5 budgets over the limit, 1 not proven",
        ": 420 MB is over the limit",
        ": the machine was swapping",
        "Makes INVALID: latency and memory.",
        "not measured",
    ):
        assert words in text, words


def test_a_device_that_was_asked_for_is_described_with_what_the_figures_say(
    report: Report, read: Read
) -> None:
    budgets = [row.budget for row in report.budgets]
    found = standing(load_device("pi-zero-2w"), report.before, budgets, threads=1)
    text = read(html.render(replace(report, device=found))).text
    assert "This machine is not one." in text
    assert found.device.title in text
    assert "this is the latency of AMD EPYC, not of the" in text
    for warning in found.warnings:
        assert warning in text


def test_a_process_that_was_measured_again_is_told(report: Report, read: Read) -> None:
    first = report.scenarios[0]
    again = replace(first, discarded=[Discarded(run=ProcessRun(), reason="others were busy")])
    text = read(html.render(replace(report, scenarios=[again]))).text
    assert "memory: a process was measured again, since others were busy" in text


def test_a_proven_limit_is_told_with_its_canary_and_another_one_with_its_reason(
    report: Report, read: Read
) -> None:
    proven = LimitProof(True, 512_000_000, "control group, version 2", "", "killed at 530 MB")
    text = read(html.render(replace(report, limit=proven))).text
    assert "The limit bites" in text
    assert "killed at 530 MB" in text
    loose = LimitProof(False, 512_000_000, "", "not root", "not run", "run it as root")
    text = read(html.render(replace(report, limit=loose))).text
    assert "The limit was not enforced" in text
    assert "run it as root" in text
    assert "Memory limit" not in read(html.render(report)).text
    outer = LimitProof(False, 512_000_000, "", "read-only", "not run", "x", holds=512_000_000)
    text = read(html.render(replace(report, limit=outer))).text
    assert "The bench could enforce no limit, but one set from outside holds it" in text
    assert "a limit of 512 MB, set from outside, holds the bench and the model together" in text


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    assert html.when("2026-01-02T01:30:00+05:00") == "1 January 2026, 20:30 UTC"
    assert html.when("2026-01-02T01:30:00") == "2 January 2026, 01:30 UTC"
    assert html.when("") == "an unknown time"
