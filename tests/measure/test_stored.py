"""Reports come back from their files as they were, and what is none is refused politely."""

import json
from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.measure import report as reports
from tinytx.measure.budgets import Budget, Figure, Quantity, judge
from tinytx.measure.machine import observe
from tinytx.measure.protocol import Answer
from tinytx.measure.report import BundleFacts, ProcessRun, Report, Scenario, overall
from tinytx.measure.stored import read_report


def report() -> Report:
    rows = [
        judge(Budget("rss", Quantity(400.0, "MB")), Figure(measured=80e6, upper=81e6, lower=80e6)),
        judge(Budget("model_size", Quantity(10.0, "MB"), strict=True), Figure(trouble="gone")),
    ]
    machine = observe()
    return Report(
        tinytx="0", started_at="2026-01-01T00:00:00+00:00", seconds=1.5, verdict=overall(rows),
        bundle=BundleFacts(id="c0", path="x", files={"model.onnx": 5}, parameters=1,
                           precision="float32", bits_per_byte=1.5),
        budgets=rows,
        scenarios=[
            Scenario(
                name="next token at 16", kind="next_token", length=16,
                processes=[ProcessRun(answer=Answer(samples_ns=[5, 7])), ProcessRun(trouble="!")],
            )
        ],
        breaches=[], processor_use=None, before=machine, after=machine, settings={"a": {"b": 1}},
    )  # fmt: skip


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = report()
    reports.write(tmp_path / "r.json", written)
    assert read_report(tmp_path / "r.json") == written


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a report"),
        (b"\xff\xfe", "is not a report"),
        (b"[1, 2]", "is not a report"),
        (b'{"schema": 1}', "lacks what every report has"),
        (b"[" * 100_000, "is not a report"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_report(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2; this tinytx reads 1"),
        ({"scenarios": 5}, "is not a report"),
        ({"machine": 5}, "is not a report"),
        ({"budgets": [{"name": "x"}]}, "is not a report"),
        ({"verdict": "MAYBE"}, "is not a report"),
    ],
)
def test_a_report_that_was_tampered_with_is_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    reports.write(tmp_path / "r.json", report())
    document = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(UsageError, match=words):
        read_report(tmp_path / "r.json")


def test_an_unknown_budget_is_refused_by_its_name(tmp_path: Path) -> None:
    reports.write(tmp_path / "r.json", report())
    text = (tmp_path / "r.json").read_text().replace('"rss"', '"rsss"')
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match="unknown budget 'rsss'"):
        read_report(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("path", "words"),
    [("/nowhere/r.json", "No such file"), ("/proc", "not a file"), ("/dev/zero", "not a file")],
)
def test_a_path_that_is_no_file_is_refused(path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_report(Path(path))
