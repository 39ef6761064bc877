"""The training budget from records of complete, short, resumed and damaged runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.bundle import TrainingRecord
from tinytx.measure.machine.facts import Machine, observe
from tinytx.measure.policy.budgets import Budget, Quantity, Verdict, judge
from tinytx.measure.verdict.training import training_figure

Tree = Callable[..., Path]

LIMIT = Budget("training_20_epochs", Quantity(600, "s"), strict=True)


@pytest.fixture
def machine(tree: Tree) -> Machine:
    return observe(tree("vm"), "x86_64")


def record(
    seconds: list[float], setup: float = 20.0, complete: bool = True, **more: Any
) -> TrainingRecord:
    plain: dict[str, Any] = {"epochs": len(seconds), "machine": {"processor": "AMD EPYC"}, **more}
    return TrainingRecord(epoch_seconds=seconds, setup_seconds=setup, complete=complete, **plain)


def test_twenty_epochs_are_their_sum_and_the_preparation(machine: Machine) -> None:
    figure = training_figure(record([28.0] * 19 + [30.0]), machine)
    assert figure.measured == figure.lower == figure.upper == (19 * 28 + 30 + 20) * 1e9
    assert "measured in one run: all 20 epochs" in figure.basis
    assert judge(LIMIT, figure).verdict is Verdict.PASS


def test_exactly_six_hundred_seconds_is_not_under_them(machine: Machine) -> None:
    row = judge(LIMIT, training_figure(record([29.0] * 20), machine))
    assert (row.verdict, row.measured) == (Verdict.FAIL, Quantity(600.0, "s"))


def test_of_more_epochs_the_twenty_slowest_count(machine: Machine) -> None:
    figure = training_figure(record([1.0] * 10 + [10.0] * 20, setup=0.0), machine)
    assert figure.measured == 200e9
    assert "20 slowest of 30" in figure.basis


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        ([10.0, 12.0], Verdict.PASS),  # 20 x 12 + 20 = 260
        ([28.0, 29.0], Verdict.INVALID),  # 580 to 600
        ([30.0, 50.0], Verdict.FAIL),  # 620 at the least
    ],
)
def test_few_epochs_are_projected_and_labelled(
    machine: Machine, seconds: list[float], verdict: Verdict
) -> None:
    row = judge(LIMIT, training_figure(record(seconds), machine))
    assert row.verdict is verdict
    assert row.measured == Quantity(20 * sum(seconds) / 2 + 20, "s")
    assert row.upper == Quantity(20 * max(seconds) + 20, "s")
    assert "projected from 2 epochs: 20 x the slowest" in row.basis
    if verdict is Verdict.INVALID:
        assert "not proven by 2 epochs" in row.reason


def test_a_resumed_run_is_a_projection_too(machine: Machine) -> None:
    figure = training_figure(record([10.0] * 20, complete=False), machine)
    assert "projected from 20 epochs (the run was interrupted" in figure.basis


@pytest.mark.parametrize("seconds", [[], [10.0]])
def test_less_than_two_epochs_prove_nothing(machine: Machine, seconds: list[float]) -> None:
    row = judge(LIMIT, training_figure(record(seconds), machine))
    assert row.verdict is Verdict.INVALID
    assert "train at least 2" in row.reason


@pytest.mark.parametrize("seconds", [[10.0, 0.0], [10.0, -1.0], [10.0, float("nan")]])
def test_impossible_times_are_invalid(machine: Machine, seconds: list[float]) -> None:
    assert judge(LIMIT, training_figure(record(seconds), machine)).verdict is Verdict.INVALID


def test_a_record_that_contradicts_itself_is_invalid(machine: Machine) -> None:
    row = judge(LIMIT, training_figure(record([1.0] * 3, epochs=20), machine))
    assert "3 epoch times for 20 epochs" in row.reason


def test_another_machine_is_named(machine: Machine) -> None:
    here = training_figure(record([1.0] * 20), machine)
    there = training_figure(record([1.0] * 20, machine={"processor": "Xeon"}), machine)
    assert here.basis.endswith("trained on this kind of processor (AMD EPYC)")
    assert there.basis.endswith("trained on Xeon, not on this machine (AMD EPYC)")
