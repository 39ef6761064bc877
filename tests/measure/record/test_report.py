"""What the report says, and where it can be written."""

from pathlib import Path

import pytest

from tinytx.errors import BudgetFailed, MeasurementInvalid, UsageError
from tinytx.measure.machine.facts import observe
from tinytx.measure.policy.budgets import Budget, Quantity, Row, Verdict
from tinytx.measure.record import report as reports
from tinytx.measure.record.protocol import Answer
from tinytx.measure.record.report import BundleFacts, ProcessRun, Report, Scenario


def make(*verdicts: Verdict, scenarios: list[Scenario] | None = None) -> Report:
    rows = [
        Row(
            budget=Budget("rss", Quantity(400, "MB")),
            verdict=verdict,
            measured=Quantity(85.0, "MB"),
            upper=Quantity(90.0, "MB"),
            reason="" if verdict is Verdict.PASS else "the reason",
        )
        for verdict in verdicts
    ]
    machine = observe()
    return Report(
        tinytx="0",
        started_at="2025-01-01T00:00:00+00:00",
        seconds=1.0,
        verdict=reports.overall(rows),
        bundle=BundleFacts(
            id="ab" * 32, path="x", files={}, parameters=1, precision="float32", bits_per_byte=1.0
        ),
        budgets=rows,
        scenarios=scenarios or [],
        breaches=[],
        processor_use=None,
        before=machine,
        after=machine,
        settings={},
    )


def test_a_row_has_the_limit_the_figures_and_the_verdict() -> None:
    (row,) = reports.document(make(Verdict.INVALID))["budgets"]
    assert row == {
        "name": "rss",
        "limit": 400,
        "strict": False,
        "unit": "MB",
        "measured": 85.0,
        "upper": 90.0,
        "lower": None,
        "verdict": "INVALID",
        "reason": "the reason",
        "basis": "",
    }


def test_a_fail_outweighs_an_invalid_and_all_pass_is_no_error() -> None:
    assert reports.failure(make(Verdict.PASS, Verdict.PASS)) is None
    assert isinstance(reports.failure(make(Verdict.PASS, Verdict.INVALID)), MeasurementInvalid)
    assert isinstance(reports.failure(make(Verdict.INVALID, Verdict.FAIL)), BudgetFailed)


def test_the_latency_table_shows_the_worst_process() -> None:
    def run(samples: list[int], load: int) -> ProcessRun:
        return ProcessRun(answer=Answer(samples_ns=samples, load_ns=load))

    runs = [run([1, 2, 3], 10), run([1, 2, 9], 30), ProcessRun(trouble="it hung")]
    scenario = Scenario(name="next token at 16", kind="next_token", length=16, processes=runs)
    rows = reports.latency_rows(make(Verdict.PASS, scenarios=[scenario]))
    assert rows == [
        ("load the bundle", 2, 10, 30, 30),
        ("next token at 16", 3, 2, 9, 9),
    ]


def test_a_report_that_cannot_be_written_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot write the report"):
        reports.write(Path("/proc/none/report.json"), make(Verdict.PASS))
