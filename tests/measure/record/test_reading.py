"""Reading reports back: what was written comes back, and nothing else is taken for a report."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.errors import UsageError
from tinytx.measure.pages import html, markdown
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.record import report as reports
from tinytx.measure.record.reading import parse_report, read_report

STORED = Path(__file__).parents[2] / "fixtures" / "report-1.json"
PLAIN: dict[str, Any] = json.loads(STORED.read_bytes())


def changed(**changes: object) -> bytes:
    return json.dumps({**PLAIN, **changes}).encode()


def test_a_report_of_schema_1_keeps_being_readable() -> None:
    report = read_report(STORED)
    assert report.verdict is Verdict.PASS
    assert report.bundle.parameters == 473_760
    assert report.before.processor == "AMD EPYC"
    assert [row.budget.title for row in report.budgets][2] == "next token, p95"
    (worst,) = (s for s in report.scenarios if s.name == "next token at 256")
    samples = PLAIN["scenarios"][3]["processes"][0]["answer"]["samples_ns"]
    assert worst.answers[0].samples_ns == samples
    assert len(samples) == 100


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    report = read_report(STORED)
    reports.write(tmp_path / "again.json", report)
    assert read_report(tmp_path / "again.json") == report


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a report"),
        (b"\x00\xff\xfe", "not a report"),
        (b"[1, 2]", "not a report"),
        (b"{}", "lacks what every report has"),
        (b'{"schema": 1, "epochs": []}', "lacks what every report has"),
        (b'{"a": ' * 2_000, "not a report"),
        (changed(schema=2), "schema 2; this tinytx reads 1"),
        (changed(schema="x" * 500), "this tinytx reads 1"),
        (changed(machine=7), "damaged"),
        (changed(machine={}), "damaged"),
        (changed(budgets=[{"name": "rss"}]), "damaged"),
        (changed(budgets=[{**PLAIN["budgets"][0], "name": "colour"}]), "unknown budget 'colour'"),
        (changed(budgets=[{**PLAIN["budgets"][0], "unit": "ms"}]), "'ms' is no unit of rss"),
        (changed(budgets=[{**PLAIN["budgets"][0], "limit": 0}]), "above 0"),
        (changed(budgets=[{**PLAIN["budgets"][0], "verdict": "MAYBE"}]), "damaged"),
        (changed(seconds=10**400), "no measurement"),
        (changed(scenarios=[{"name": "x"}]), "damaged"),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"r\.json") as caught:
        read_report(path)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    for bad in (tmp_path / "none.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(UsageError, match=str(bad)):
            read_report(bad)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), value=st.sampled_from([None, -1, 0, 1e17, "<b>", [], {}, True]))
def test_a_report_with_a_value_exchanged_is_drawn_or_refused_but_never_a_crash(
    seed: int, value: object
) -> None:
    plain = json.loads(STORED.read_bytes())
    source = random.Random(seed)
    place: Any = plain
    while True:
        key = source.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or source.random() < 0.1:
            place[key] = value
            break
        place = inner
    try:
        report = parse_report(json.dumps(plain).encode(), "x.json")
    except UsageError:
        return
    assert html.render(report).endswith("</html>\n")
    assert markdown.render(report).startswith("### ")
