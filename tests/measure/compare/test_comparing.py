"""Reports and runs in turns, judged: what differs, what cannot be compared, what is warned of."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tinytx.errors import BudgetFailed, MeasurementInvalid, UsageError
from tinytx.measure.compare import eligibility
from tinytx.measure.compare.comparing import compare_files, compare_reports
from tinytx.measure.compare.findings import (
    Comparison,
    Finding,
    document,
    failure,
    share,
    signed,
    unseen,
)
from tinytx.measure.machine.conditions import Breach
from tinytx.measure.machine.facts import observe
from tinytx.measure.memory.process import Resident
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.policy.scenarios import Scenarios
from tinytx.measure.record import report as reports
from tinytx.measure.record.protocol import Answer, Phases
from tinytx.measure.record.report import BundleFacts, ProcessRun, Report, Scenario

Tree = Callable[..., Path]
Make = Callable[..., Report]
MS = 1_000_000


def phases(rss: int) -> Phases:
    rest = Resident(rss=rss, anonymous=1, proportional=1, swap=0)
    return Phases(interpreter=1, load=1, prompt=1, decode=rss + 10, at_rest=rest, separate=True)


def scenario(name: str, kind: str, answers: Sequence[Answer]) -> Scenario:
    return Scenario(
        name=name, kind=kind, length=16, processes=[ProcessRun(answer=one) for one in answers]
    )


def scenarios(token_ms: float, spread: float, rss: int, seed: int) -> list[Scenario]:
    rng = np.random.default_rng(seed)

    def latency(ms: float) -> list[Answer]:
        factors = np.exp(rng.normal(0.0, spread, 3))
        return [Answer(samples_ns=[int(ms * MS * f)] * 100) for f in factors]

    return [
        scenario("memory", "memory", [Answer(memory=phases(rss + i * 4096)) for i in range(3)]),
        scenario("next token at 16", "next_token", latency(token_ms)),
        scenario("next token at 48", "next_token", latency(1.3 * token_ms)),
        scenario("first token after 47", "first_token", latency(3.0 * token_ms)),
        scenario("end to end, 4 tokens", "end_to_end", latency(9.0)),
    ]


@pytest.fixture
def make(tree: Tree) -> Make:
    """A report of a bench with figures of our choice."""
    machine = observe(tree("vm"))

    def report(
        *,
        token_ms: float = 1.0,
        spread: float = 0.002,
        rss: int = 80_000_000,
        seed: int = 0,
        policy: Scenarios | None = None,
        changes: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        machine_changes: dict[str, Any] | None = None,
    ) -> Report:
        one = dataclasses.replace(machine, **(machine_changes or {}))
        bundle = BundleFacts(
            id="c0ffee", path="x", files={"model.onnx": 9_000_000}, parameters=1,
            precision="float32", bits_per_byte=1.2, val_sha256="v", tokenizer_sha256="t",
        )  # fmt: skip
        made = Report(
            tinytx="0", started_at=f"2026-01-01T00:00:0{seed}", seconds=1.0, verdict=Verdict.PASS,
            bundle=msgspec.structs.replace(bundle, **(facts or {})), budgets=[],
            scenarios=scenarios(token_ms, spread, rss, seed), breaches=[], processor_use=None,
            before=one, after=one, settings=msgspec.to_builtins(policy or Scenarios()),
        )  # fmt: skip
        return msgspec.structs.replace(made, **(changes or {}))

    return report


def found(comparison: Comparison) -> dict[str, Finding]:
    return {figure.name: figure.finding for figure in comparison.figures}


def test_two_reports_of_one_bundle_show_no_difference_and_say_what_would_have_been_seen(
    make: Make,
) -> None:
    comparison = compare_reports(make(seed=1), make(seed=2))
    assert set(found(comparison).values()) == {Finding.NONE, Finding.SAME}
    assert comparison.overall.startswith("No difference shown (what would have been seen: in lat")
    latency = [f.difference for f in comparison.figures if f.kind == "latency"]
    assert all(one and one.smallest and 0.03 < one.smallest < 0.1 for one in latency)
    assert (comparison.warnings, comparison.invalid) == ([], {})


def test_what_is_slower_larger_and_worse_is_called_so_with_its_figures(make: Make) -> None:
    b = make(
        token_ms=1.5, rss=100_000_000, seed=2,
        facts={"id": "b", "files": {"model.onnx": 9_900_000}, "bits_per_byte": 1.26},
    )  # fmt: skip
    comparison = compare_reports(make(seed=1), b)
    names = found(comparison)
    assert names["next token at 48, median"] is Finding.SLOWER
    assert names["memory, at rest (RSS)"] is Finding.LARGER
    assert names["model size"] is Finding.LARGER
    assert names["bits per byte"] is Finding.WORSE
    assert "model size by 10 %" in comparison.overall
    assert "bits per byte by 5.0 %" in comparison.overall
    median = next(f for f in comparison.figures if f.name == "next token at 16, median")
    assert median.difference is not None and median.a is not None
    assert median.difference.change == pytest.approx(0.5, abs=0.02)
    assert (median.a.amount, median.a.unit) == (pytest.approx(1.0, abs=0.02), "ms")


def test_swapped_sides_are_faster_smaller_and_better(make: Make) -> None:
    a = make(
        token_ms=1.5, rss=100_000_000, seed=2,
        facts={"id": "b", "files": {"model.onnx": 9_900_000}, "bits_per_byte": 1.26},
    )  # fmt: skip
    names = found(compare_reports(a, make(seed=1)))
    assert names["next token at 48, median"] is Finding.FASTER
    assert names["memory, peak"] is Finding.SMALLER
    assert names["model size"] is Finding.SMALLER
    assert names["bits per byte"] is Finding.BETTER


def test_three_noisy_processes_prove_no_5_per_cent_and_say_so(make: Make) -> None:
    comparison = compare_reports(
        make(seed=1, spread=0.03), make(seed=2, spread=0.03, token_ms=1.05)
    )
    assert Finding.SLOWER not in found(comparison).values()
    assert "could have been overlooked" in unseen(comparison, 0.05)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processor": "Cortex-A72"}, "processor 'AMD EPYC' and 'Cortex-A72'"),
        ({"usable_cores": 1}, "usable cores 2 and 1"),
        ({"cpu_quota": 0.5}, "usable cores 2 and 0.5"),
        ({"device": "Raspberry Pi 5"}, "device '' and 'Raspberry Pi 5'"),
        ({"emulation": ["a sign"]}, "emulated False and True"),
    ],
)
def test_reports_of_different_machines_are_refused_unless_told_to(
    make: Make, changes: dict[str, Any], words: str
) -> None:
    a, b = make(seed=1), make(seed=2, machine_changes=changes)
    with pytest.raises(UsageError, match=words) as raised:
        eligibility.check_reports(a, b, different_settings=True)
    assert "--different-machines" in raised.value.remedy
    eligibility.check_reports(a, b, different_machines=True)
    assert any(words in warning for warning in compare_reports(a, b).warnings)


def test_a_bare_report_beside_one_of_a_container_is_said(make: Make) -> None:
    held = {"container": "Docker", "group_limit": 512_000_000, "cpu_quota": 2.0}
    a, b = make(seed=1), make(seed=2, machine_changes=held)
    eligibility.check_reports(a, b)
    (told,) = [one for one in compare_reports(a, b).warnings if "surroundings" in one]
    assert "container 'none' and 'Docker'" in told
    assert "memory limit None and 512000000" in told
    assert "CPU quota None and 2.0" in told


def test_reports_of_different_settings_are_refused_unless_told_to(make: Make) -> None:
    policy = msgspec.convert({"processes": {"threads": 2}, "sampling": {"top_k": 5}}, Scenarios)
    a, b = make(seed=1), make(seed=2, policy=policy)
    with pytest.raises(UsageError, match=r"processes.threads 1 and 2, sampling.top_k 0 and 5"):
        eligibility.check_reports(a, b, different_machines=True)
    eligibility.check_reports(a, b, different_settings=True)


def test_more_processes_and_samples_are_no_different_setting(make: Make) -> None:
    more = {"processes": {"per_scenario": 5}, "next_token": {"first_look": 512}}
    policy = msgspec.convert(more, Scenarios)
    eligibility.check_reports(make(seed=1), make(seed=2, policy=policy))


def test_another_onnxruntime_is_warned_of_and_not_refused(make: Make) -> None:
    b = make(seed=2, machine_changes={"versions": {"onnxruntime": "9"}})
    eligibility.check_reports(make(seed=1), b)
    assert any("onnxruntime" in one for one in compare_reports(make(seed=1), b).warnings)


def test_latency_of_an_invalid_report_proves_nothing_and_closes_the_gate(make: Make) -> None:
    breach = Breach("throttled", ("latency",), "it throttled")
    b = make(seed=2, token_ms=2.0, rss=100_000_000, changes={"breaches": [breach]})
    comparison = compare_reports(make(seed=1), b)
    assert comparison.invalid == {"latency": ["B: it throttled"]}
    assert {f.finding for f in comparison.figures if f.kind == "latency"} == {Finding.INVALID}
    assert found(comparison)["memory, peak"] is Finding.LARGER
    assert "latency are INVALID" not in comparison.overall
    assert "latency is INVALID and proves nothing" in comparison.overall
    assert isinstance(failure(comparison, 0.05), MeasurementInvalid)


def test_a_report_that_did_not_settle_proves_nothing(make: Make) -> None:
    b = make(seed=2)
    restless = Answer(settled=False, samples_ns=[MS] * 100)
    b.scenarios[1] = scenario("next token at 16", "next_token", [restless] * 3)
    assert compare_reports(make(seed=1), b).invalid == {
        "latency": ["B: next token at 16 did not settle in its warm-up"]
    }


def test_the_gate_knows_slower_from_not_proven_slower(make: Make) -> None:
    slower = compare_reports(make(seed=1), make(seed=2, token_ms=1.5))
    error = failure(slower, 0.05)
    assert isinstance(error, BudgetFailed)
    assert "next token at 16, median by at least 4" in error.message
    assert failure(slower, 0.6) is None
    assert failure(compare_reports(make(seed=1), make(seed=3)), 0.0) is None


def test_the_gate_does_not_open_when_latency_was_not_measured(make: Make) -> None:
    b = make(seed=2)
    crashed = [
        msgspec.structs.replace(s, processes=[ProcessRun(trouble="it crashed")])
        if s.kind == "next_token"
        else s
        for s in b.scenarios
    ]
    comparison = compare_reports(make(seed=1), msgspec.structs.replace(b, scenarios=crashed))
    rows = {f.name: f for f in comparison.figures}
    assert rows["next token at 16, p95"].finding is Finding.UNMEASURED
    assert rows["next token at 16, p95"].reason == "next token at 16: it crashed"
    assert "6 figures not measured" in comparison.overall
    assert isinstance(failure(comparison, 0.05), MeasurementInvalid)


def test_figures_that_cannot_be_are_not_compared(make: Make) -> None:
    b = make(seed=2)
    b.scenarios[1] = scenario("next token at 16", "next_token", [Answer(samples_ns=[0, 0, 5])] * 3)
    row = next(f for f in compare_reports(make(seed=1), b).figures if f.name.endswith("16, median"))
    assert (row.finding, row.reason) == (Finding.UNMEASURED, "a figure of it is not above zero")


def test_a_scenario_of_one_side_only_is_said_to_be(make: Make) -> None:
    a, b = make(seed=1), make(seed=2)
    fewer = msgspec.structs.replace(b, scenarios=b.scenarios[:2])
    reasons = {f.name: f.reason for f in compare_reports(a, fewer).figures}
    assert reasons["next token at 48, median"] == "only A has it"
    reasons = {f.name: f.reason for f in compare_reports(fewer, a).figures}
    assert reasons["next token at 48, median"] == "only B has it"


@pytest.mark.parametrize(
    ("val", "reason"), [("w", "on different texts"), ("", "does not say on which text")]
)
def test_bits_per_byte_of_different_texts_are_not_compared(
    make: Make, val: str, reason: str
) -> None:
    b = make(seed=2, facts={"id": "b", "val_sha256": val, "bits_per_byte": 0.5})
    quality = compare_reports(make(seed=1), b).figures[-1]
    assert (quality.name, quality.finding) == ("bits per byte", Finding.INCOMPARABLE)
    assert reason in quality.reason


def test_different_tokenizers_are_warned_of(make: Make) -> None:
    b = make(seed=2, facts={"tokenizer_sha256": "u"})
    assert "tokenizers differ" in compare_reports(make(seed=1), b).warnings[0]


def test_a_report_against_itself_is_said_to_be_that(make: Make) -> None:
    assert "one and the same report" in compare_reports(make(), make()).warnings[0]


def test_stored_reports_are_compared_like_those_in_memory(make: Make, tmp_path: Path) -> None:
    a, b = make(seed=1), make(seed=2, token_ms=1.5)
    for name, one in (("a", a), ("b", b)):
        reports.write(tmp_path / name, one)
    stored = compare_files(tmp_path / "a", tmp_path / "b")
    assert stored.figures == compare_reports(a, b).figures
    assert document(stored)["overall"] == stored.overall


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (0.0512, "5.1 %"),
        (0.00131, "0.13 %"),
        (-0.2, "20 %"),
        (14.79, ">999 %"),
        (9.99, "999 %"),
        (0.0996, "10 %"),
    ],
)
def test_shares_are_told_in_per_cent(part: float, told: str) -> None:
    assert share(part) == told
    assert signed(part).replace("+", "").replace("-", "") == told
    assert ("-" in signed(part), "+" in signed(part)) == (part < 0, part > 0)


def test_no_change_has_no_sign() -> None:
    assert signed(0.0) == signed(-0.000001) == "0.00 %"


def test_medians_that_go_the_other_way_than_the_change_are_pointed_out(make: Make) -> None:
    """B's median is higher, and its mean (of logarithms), which is what is tested, lower."""

    def timed(*milliseconds: float) -> Report:
        answers = [Answer(samples_ns=[int(ms * MS)] * 100) for ms in milliseconds]
        return make(changes={"scenarios": [scenario("next token at 16", "next_token", answers)]})

    comparison = compare_reports(timed(1.0, 1.0, 1.0), timed(0.5, 1.1, 1.1))
    assert comparison.warnings[0] == (
        "next token at 16, p10, next token at 16, median, next token at 16, p95: the medians of A "
        "and B go one way and the change the other; the change is what counts, it is taken over "
        "all processes"
    )
    agreeing = compare_reports(timed(1.0, 1.0, 1.0), timed(1.1, 1.1, 1.2))
    assert not any("the other" in warning for warning in agreeing.warnings)
