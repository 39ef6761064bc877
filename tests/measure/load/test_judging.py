"""Loads with known figures, and the verdicts that they must give."""

import random

import pytest

from tinytx.measure.load.judging import Cell, decided, joined, judge_all
from tinytx.measure.load.server import Memory
from tinytx.measure.machine.conditions import Breach
from tinytx.measure.policy.budgets import SERVED, Row, Verdict, load_budgets

MS = 1_000_000
PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID
BUDGETS = {budget.name: budget for budget in load_budgets(None, SERVED)}


def cell(
    first: float = 10.0, gap: float = 5.0, count: int = 160, errors: int = 0, **other: object
) -> Cell:
    """One load whose times are about so many milliseconds, without any pattern."""
    source = random.Random(count)
    whole = count - errors

    def around(middle: float) -> int:
        return int(middle * MS * (0.9 + 0.2 * source.random()))

    values: dict[str, object] = {
        "rate": 20.0, "process": 1, "requests": count, "seconds": count / 20.0,
        "late": [MS] * count, "first": [around(first) for _ in range(whole)],
        "between": [[around(gap) for _ in range(4)] for _ in range(whole)],
        "tokens": 32 * whole, "statuses": {200: whole},
        "errors": {"429: full": errors} if errors else {}, "client_share": 0.1, **other,
    }  # fmt: skip
    return Cell(**values)  # type: ignore[arg-type]


def rows(cells: list[Cell], breaches: tuple[Breach, ...] = (), trouble: str = "") -> dict[str, Row]:
    memory = [Memory(rss=80_000_000, peak=100_000_000)]
    found = judge_all(list(BUDGETS.values()), cells, memory, 32, breaches, trouble)
    assert [row.budget.name for row in found] == list(BUDGETS)
    return {row.budget.name: row for row in found}


def verdict(cells: list[Cell], name: str) -> Verdict:
    return rows(cells)[name].verdict


def test_a_server_within_all_budgets_passes() -> None:
    assert {row.verdict for row in rows([cell(), cell(), cell()]).values()} == {PASS}


@pytest.mark.parametrize(("first", "expected"), [(2_000.0, FAIL), (100.0, PASS)])
def test_first_tokens_are_judged_by_their_bounds(first: float, expected: Verdict) -> None:
    assert verdict([cell(first=first)], "first_token_p95") is expected


@pytest.mark.parametrize(("gap", "expected"), [(400.0, FAIL), (100.0, PASS)])
def test_gaps_between_tokens_are_judged_by_their_bounds(gap: float, expected: Verdict) -> None:
    assert verdict([cell(gap=gap)], "between_tokens_p95") is expected


def test_one_bad_process_is_enough_to_fail() -> None:
    assert verdict([cell(), cell(), cell(first=2_000.0)], "first_token_p95") is FAIL


def test_few_answers_prove_nothing_and_the_row_says_what_would_help() -> None:
    row = rows([cell(count=40)])["first_token_p95"]
    assert row.verdict is INVALID and "--requests" in row.reason
    assert not decided([BUDGETS["first_token_p95"]], cell(count=40), 1)
    assert decided([BUDGETS["first_token_p95"]], cell(), 1)


def test_two_loads_in_a_row_are_one_cell_at_its_second_look() -> None:
    both = joined(cell(count=80, errors=1), cell(count=80))
    assert (both.requests, both.looks, both.tokens) == (160, 2, 32 * 159)
    assert both.statuses == {200: 159} and both.errors == {"429: full": 1}
    assert both.seconds == pytest.approx(8.0) and both.client_share == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("counts", "errors", "expected"),
    [
        ((153, 153, 153), 0, PASS),  # 459 without an error: the least that proves 1 %
        ((153, 153, 152), 0, INVALID),
        ((160, 160, 160), 1, INVALID),
        ((160, 160, 160), 20, FAIL),
    ],
)
def test_errors_have_an_exact_bound_over_all_processes_of_a_rate(
    counts: tuple[int, ...], errors: int, expected: Verdict
) -> None:
    cells = [cell(count=count, errors=errors if at == 0 else 0) for at, count in enumerate(counts)]
    row = rows(cells)["errors"]
    assert row.verdict is expected
    assert not errors or "429: full" in row.basis


def test_a_server_that_answers_nothing_but_errors_fails_and_its_times_mean_nothing() -> None:
    found = rows([cell(errors=160)])
    assert found["errors"].verdict is FAIL and found["throughput"].verdict is FAIL
    assert found["first_token_p95"].verdict is INVALID
    assert "no request got a whole answer (429: full)" in found["first_token_p95"].reason


@pytest.mark.parametrize(("tokens", "expected"), [(90, FAIL), (110, PASS)])
def test_throughput_is_a_least_figure_of_the_highest_rate(tokens: int, expected: Verdict) -> None:
    slow = cell(rate=1.0, seconds=1_000.0)  # of a low rate: not judged
    assert verdict([slow, cell(tokens=tokens * 8)], "throughput") is expected


def test_a_throughput_that_nobody_asked_for_is_not_judged() -> None:
    row = rows([cell(rate=1.0, seconds=160.0)])["throughput"]
    assert row.verdict is INVALID and "only 32 tokens/s were asked for" in row.reason


@pytest.mark.parametrize(
    "slow", [{"late": [30 * MS] * 160}, {"client_share": 0.95}], ids=["late", "busy"]
)
def test_a_client_that_was_the_bottleneck_makes_times_invalid(slow: dict[str, object]) -> None:
    row = rows([cell(), cell(**slow)])["between_tokens_p95"]  # type: ignore[arg-type]
    assert row.verdict is INVALID and "the client" in row.reason
    assert rows([cell(**slow)])["rss"].verdict is PASS  # type: ignore[arg-type]


def test_lateness_that_is_small_beside_the_limit_does_not_matter() -> None:
    late = cell(late=[30 * MS] * 160)
    assert verdict([late], "first_token_p95") is PASS  # of a limit of a second


def test_a_breach_touches_only_the_figures_that_it_makes_meaningless() -> None:
    found = rows([cell(), cell(), cell()], (Breach("crowded", ("latency",), "others ran"),))
    touched = {name for name, row in found.items() if row.verdict is INVALID}
    assert touched == {"first_token_p95", "between_tokens_p95", "throughput"}


def test_two_models_in_one_bench_make_every_figure_invalid() -> None:
    assert {row.verdict for row in rows([cell()], trouble="two models").values()} == {INVALID}


def test_memory_that_could_not_be_read_is_not_judged() -> None:
    found = judge_all(
        [BUDGETS["rss"], BUDGETS["peak_memory"]], [cell()], [Memory(trouble="unseen")], 32, ()
    )
    assert [(row.verdict, row.reason) for row in found] == [(INVALID, "unseen")] * 2
