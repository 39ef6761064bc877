"""The limits of a container, from a device and the budgets."""

import msgspec
import pytest

from tinytx.measure.limits.confinement import (
    ContainerFacts,
    labelled,
    limits_for,
    notes_for,
    without_cut_off,
)
from tinytx.measure.policy.budgets import Budget, Quantity, Row, Verdict, load_budgets
from tinytx.measure.policy.devices import load_device

PEAK = [Budget("peak_memory", Quantity(512.0, "MB"))]


def test_the_peak_budget_is_the_limit_where_the_device_has_more() -> None:
    limits = limits_for(load_device("pi-zero-2w"), load_budgets(), 16)
    assert (limits.memory, limits.memory_of) == (512_000_000, "the peak budget")
    assert str(limits) == "512 MB of memory (the peak budget), no swap, 4 cores (number 0-3)"


def test_the_device_is_the_limit_where_it_has_less_or_no_peak_is_promised() -> None:
    device = msgspec.structs.replace(load_device("pi-4"), memory_bytes=299_999_999)
    for budgets in (PEAK, []):
        limits = limits_for(device, budgets, 4)
        assert (limits.memory, limits.memory_of) == (300_003_328, f"that of the {device.title}")


def test_a_limit_is_never_below_the_budget_though_it_comes_in_pages() -> None:
    limit = limits_for(None, [Budget("peak_memory", Quantity(100_000_001.0, "B"))], 4).memory
    assert limit is not None
    assert limit % 4096 == 0
    assert 0 <= limit - 100_000_001 < 65_536


@pytest.mark.parametrize(
    ("machine", "cores", "cpuset"), [(2, 2, ""), (4, 4, ""), (5, 4, "0-3"), (64, 4, "0-3")]
)
def test_cores_are_those_of_the_device_as_far_as_there_are_any(
    machine: int, cores: int, cpuset: str
) -> None:
    device = load_device("pi-5")
    limits = limits_for(device, PEAK, machine)
    assert (limits.cores, limits.cpuset) == (cores, cpuset)
    assert bool(notes_for(device, limits)) is (machine < 4)


def test_one_core_is_number_0() -> None:
    device = msgspec.structs.replace(load_device("pi-5"), cores=1)
    limits = limits_for(device, [], 2)
    assert (limits.cores, limits.cpuset) == (1, "0")
    assert "1 core (number 0)" in str(limits)


def test_without_a_device_only_the_peak_budget_limits() -> None:
    limits = limits_for(None, PEAK, 8)
    assert (limits.memory, limits.cores, limits.cpuset) == (512_000_000, None, "")
    assert notes_for(None, limits) == ["no device was named: all cores of this machine"]
    assert str(limits_for(None, [], 8)) == "no limit"


def test_the_label_is_on_the_latency_only_and_keeps_what_was_said() -> None:
    rows = [
        Row(budget=budget, verdict=Verdict.PASS, measured=None, lower=None, upper=None,
            reason="", basis="three processes")
        for budget in load_budgets()
    ]  # fmt: skip
    told = {row.budget.name: row.basis for row in labelled(rows, "AMD EPYC")}
    assert told.pop("next_token_p95").startswith("three processes; in a container on this machine")
    assert set(told.values()) == {"three processes"}


def test_the_facts_say_when_the_limit_killed() -> None:
    facts = ContainerFacts(
        engine="Docker 1", image="a:b", image_id="sha256:c0ffee", limits=limits_for(None, PEAK, 1)
    )
    assert "killed" not in str(facts)
    assert "killed at the memory limit" in str(msgspec.structs.replace(facts, killed=True))


@pytest.mark.parametrize(
    ("peak", "expected"),
    [(512_000_000, Verdict.INVALID), (511_900_000, Verdict.INVALID), (66_000_000, Verdict.PASS),
     (None, Verdict.PASS)],
)  # fmt: skip
def test_memory_that_was_given_back_at_the_limit_proves_nothing_but_a_fail_stays(
    peak: int | None, expected: Verdict
) -> None:
    facts = ContainerFacts(
        engine="", image="", image_id="", limits=limits_for(None, PEAK, 1), peak=peak
    )
    passed = [Row(budget=budget, verdict=Verdict.PASS) for budget in load_budgets()]
    for row in without_cut_off(passed, facts):
        memory = row.budget.name in ("rss", "peak_memory")
        assert row.verdict is (expected if memory else Verdict.PASS)
    failed = [msgspec.structs.replace(row, verdict=Verdict.FAIL) for row in passed]
    assert without_cut_off(failed, facts) == failed
