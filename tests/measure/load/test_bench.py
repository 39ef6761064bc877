"""The whole bench on a real server of a tiny bundle."""

import json
from pathlib import Path

import pytest

from tests.serve.process import serving
from tinytx.errors import MeasurementInvalid
from tinytx.measure.load.bench import (
    LoadReport,
    LoadSettings,
    Step,
    bench_server,
    document,
    failure,
)
from tinytx.measure.load.client import target_of
from tinytx.measure.load.schedule import PROMPTS, schedule
from tinytx.measure.policy.budgets import SERVED, Verdict, load_budgets

FEW = LoadSettings(rates=(100.0, 200.0), requests=24, tokens=8, processes=1, time_limit=0.1)


@pytest.fixture(scope="module")
def real(tiny_bundle: Path) -> tuple[LoadReport, list[Step]]:
    told: list[Step] = []
    return bench_server(tiny_bundle, None, load_budgets(None, SERVED), FEW, told.append), told


def test_every_rate_was_offered_and_answered(real: tuple[LoadReport, list[Step]]) -> None:
    report, told = real
    assert [(cell.rate, cell.requests, cell.errors) for cell in report.loads] == [
        (100.0, 24, {}), (200.0, 24, {}),
    ]  # fmt: skip
    assert all(cell.tokens == 24 * 8 and len(cell.first) == 24 for cell in report.loads)
    assert [step.done for step in told] == [0, 1, 2]
    assert report.server.ours and report.server.slots == 32


def test_prompts_are_cut_to_what_a_small_context_has_room_for(
    real: tuple[LoadReport, list[Step]],
) -> None:
    """The longest has 91 characters, and this model a context of 48 tokens."""
    assert real[0].server.context == 48
    assert {one.prompt for one in schedule(1.0, 99, 1, 39)} == {one[:39] for one in PROMPTS}


def test_memory_is_the_servers_own_and_few_requests_prove_no_share_of_errors(
    real: tuple[LoadReport, list[Step]],
) -> None:
    report, _ = real
    rows = {row.budget.name: row for row in report.budgets}
    assert rows["errors"].verdict is Verdict.INVALID  # 48 of 459
    assert report.memory[0].rss > 20_000_000 and not report.memory[0].trouble
    if not report.before.emulation:
        assert rows["rss"].verdict is rows["peak_memory"].verdict is Verdict.PASS
    assert report.verdict is Verdict.INVALID
    assert isinstance(failure(report), MeasurementInvalid)


def test_the_report_is_json_with_raw_samples(real: tuple[LoadReport, list[Step]]) -> None:
    plain = json.loads(json.dumps(document(real[0])))
    assert plain["kind"] == "serve" and plain["settings"]["rates"] == [100.0, 200.0]
    assert len(plain["loads"][0]["late"]) == 24 and plain["machine"]["before"]["cores"] > 0
    least = {row["name"] for row in plain["budgets"] if row["least"]}
    assert least == {"throughput"}


def test_a_server_that_is_there_already_is_measured_as_it_is(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--slots", "2") as server:
        settings = LoadSettings(rates=(100.0,), requests=16, tokens=4, time_limit=0.1)
        budgets = load_budgets(None, SERVED)
        report = bench_server(None, target_of(server.address), budgets, settings)
        assert report.server.pid == server.process.pid and not report.server.ours
        assert server.process.poll() is None
    assert len(report.loads) == 1 and report.server.slots == 2
    assert any("as it was found" in one for one in report.unproven)
    assert report.memory[0].rss > 20_000_000
