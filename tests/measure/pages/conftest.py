"""A stored report, and variants of it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import Report

STORED = Path(__file__).parents[2] / "fixtures" / "report-1.json"
VOID = {"meta", "br", "hr", "col", "link"}


@pytest.fixture(scope="session")
def report() -> Report:
    return read_report(STORED)


class Page(HTMLParser):
    """An independent reader of a page: its tags, its text, and whether it is well formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.style = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "unclosed elements"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [a for _, a in self.tags if name in (a.get("class") or "").split()]


@pytest.fixture
def read() -> Callable[[str], Page]:
    """Reads a page, or a part of one."""
    return Page


@pytest.fixture
def with_samples() -> Callable[[Report, list[int]], Report]:
    """The report with these samples in every next-token process."""

    def changed(report: Report, samples: list[int]) -> Report:
        scenarios = []
        for scenario in report.scenarios:
            if scenario.kind == "next_token":
                runs = [
                    replace(run, answer=replace(run.answer, samples_ns=samples))
                    for run in scenario.processes
                    if run.answer
                ]
                scenario = replace(scenario, processes=runs)
            scenarios.append(scenario)
        return replace(report, scenarios=scenarios)

    return changed
