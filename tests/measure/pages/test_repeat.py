"""What the page says about repeating a bench can be done."""

import shlex
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from tinytx.cli.bench.command import command as bench
from tinytx.measure.pages import repeat
from tinytx.measure.policy.budgets import load_budgets
from tinytx.measure.policy.scenarios import EndToEnd, Processes, Scenarios, load_scenarios
from tinytx.measure.record.report import Report


def test_the_command_is_one_that_bench_understands(report: Report) -> None:
    words = shlex.split(repeat.command(report))
    assert words[:2] == ["tinytx", "bench"]
    context = bench.make_context("bench", words[2:])
    assert isinstance(context, click.Context)
    assert context.params["bundle"] == Path("bundle")
    assert context.params["scenario_file"] == Path(repeat.SCENARIOS)
    assert context.params["time_limit"] == 300.0


def test_a_bundle_with_an_odd_name_is_quoted(report: Report) -> None:
    odd = replace(report, bundle=replace(report.bundle, path="/data/my bundle; rm -rf *"))
    assert shlex.split(repeat.command(odd))[2] == "my bundle; rm -rf *"
    assert "/data" not in repeat.command(odd)


def test_the_scenario_file_is_read_as_the_same_scenarios(report: Report, tmp_path: Path) -> None:
    quick = Scenarios(
        end_to_end=EndToEnd(prompt='"Él\\" said 🐢\n', tokens=7), processes=Processes(threads=3)
    )
    path = tmp_path / "scenarios.toml"
    path.write_text(repeat.scenario_file(replace(report, settings=msgspec.to_builtins(quick))))
    assert load_scenarios(path) == quick


def test_the_budget_file_is_read_as_the_same_budgets(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(repeat.budget_file(report))
    assert load_budgets(path) == [row.budget for row in report.budgets]
