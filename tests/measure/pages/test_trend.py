"""The page of a trend."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.measure.compare.history import History, read_history
from tinytx.measure.pages import trend

STORED = Path(__file__).parents[2] / "fixtures" / "report-1.json"
Read = Callable[[str], Any]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Four reports; the third is of another bundle, the last was not measured."""
    for day in range(1, 5):
        plain = json.loads(STORED.read_bytes())
        plain["started_at"] = f"2026-01-0{day}T00:00:00+00:00"
        plain["bundle"]["id"] = ("a" if day < 3 else "b") * 64
        plain["budgets"] = plain["budgets"][2:3]
        row = plain["budgets"][0]
        row["measured"] = None if day == 4 else float(day)
        row["verdict"] = "INVALID" if day == 4 else "PASS"
        (tmp_path / f"{day}.json").write_text(json.dumps(plain))
    (tmp_path / "<script>.json").write_text("{}")
    return read_history(tmp_path)


def test_each_measured_report_has_a_point_and_each_new_bundle_a_line(
    history: History, read: Read
) -> None:
    page = read(trend.render(history))
    points = [a for a in page.of_class("dot-pass") if "cx" in a]
    assert len(points) == 3
    steps = [float(a["cx"].rstrip("%")) for a in points]
    assert steps[1] - steps[0] == pytest.approx(steps[2] - steps[1], abs=0.02)
    heights = [float(a["cy"]) for a in points]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.02)
    (line,) = [a for a in page.of_class("bundle") if "x1" in a]
    assert steps[1] < float(line["x1"].rstrip("%")) < steps[2]


def test_the_page_says_what_was_skipped_and_stays_closed(history: History, read: Read) -> None:
    page = read(trend.render(history))
    assert "<script>.json" in page.text
    assert not page.all("script")
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    assert len({a["id"] for _, a in page.tags if "id" in a}) == sum("id" in a for _, a in page.tags)


def test_the_markdown_has_a_line_per_budget(history: History) -> None:
    text = trend.render_markdown(history)
    assert "| next token, p95 | ▁▅█· | 250 ms | – | +50.0% | INVALID |" in text
