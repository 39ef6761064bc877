"""What a service's answers mean for the release on trial."""

import pytest

from tinytx.release.health import Answer
from tinytx.release.judge import Decision, Judge

GOOD = Answer(200, {"status": "ok", "release": "new", "refused": None}, "")
OLD = Answer(200, {"status": "ok", "release": "old", "refused": None}, "")
EMPTY = Answer(503, {"status": "empty"}, "")
SILENT = Answer(0, {}, "no answer: Connection refused")
TEXT = Answer(200, {"choices": [{"text": " a"}]}, "")


def judge(*answers: Answer, watch_seconds: float = 5.0) -> Decision | None:
    """An answer about health each second; the decision, which must come with the last of them."""
    one = Judge("new", watch_seconds)
    for second, answer in enumerate(answers):
        decision = one.health(float(second), answer)
        if decision is not None:
            assert second == len(answers) - 1
            return decision
    return None


def test_a_release_that_is_healthy_for_long_enough_is_healthy() -> None:
    assert judge(*[GOOD] * 5) is None
    assert judge(*[GOOD] * 6) == Decision("healthy", "")


def test_time_in_which_nobody_looked_does_not_count_as_healthy() -> None:
    one = Judge("new", 5.0)
    assert one.health(0.0, GOOD) is None
    assert one.health(1000.0, GOOD) is None  # the watch was stopped, or the machine slept
    assert one.health(1004.0, GOOD) is None
    assert one.health(1005.0, GOOD) == Decision("healthy", "")


@pytest.mark.parametrize("before", [OLD, EMPTY, SILENT], ids=["old", "empty", "silent"])
def test_time_before_the_service_names_the_release_counts_for_nothing(before: Answer) -> None:
    assert judge(*[before] * 50, *[GOOD] * 5) is None
    assert judge(*[before] * 50, *[GOOD] * 6) == Decision("healthy", "")


def test_a_release_that_the_service_refuses_goes_back_at_once_and_says_why() -> None:
    refused = Answer(
        200,
        {"status": "ok", "release": "old", "refused": {"release": "new", "why": "token 3 differs"}},
        "",
    )
    assert judge(OLD, refused) == Decision("unhealthy", "the service refused it: token 3 differs")


def test_that_the_service_refused_another_release_once_says_nothing() -> None:
    other = {"status": "ok", "release": "new", "refused": {"release": "x", "why": "bad"}}
    assert judge(*[Answer(200, other, "")] * 6) == Decision("healthy", "")


@pytest.mark.parametrize("bad", [OLD, EMPTY, SILENT], ids=["old", "empty", "silent"])
def test_three_bad_answers_in_a_row_are_unhealthy(bad: Answer) -> None:
    decision = judge(GOOD, GOOD, bad, bad, bad)
    assert decision is not None
    assert decision.outcome == "unhealthy"
    assert decision.why.startswith("unhealthy 3 times in a row: health: ")


def test_two_bad_answers_are_forgiven_but_the_time_begins_anew() -> None:
    assert judge(*[GOOD] * 5, SILENT, SILENT, *[GOOD] * 4) is None
    assert judge(*[GOOD] * 5, SILENT, SILENT, *[GOOD] * 5) == Decision("healthy", "")


def test_three_bad_completions_in_a_row_are_unhealthy_though_health_says_ok() -> None:
    one = Judge("new", 100.0)
    for second in range(2):
        assert one.health(second, GOOD) is None
        assert one.completion(second, Answer(500, {}, "")) is None
    assert one.health(3.0, GOOD) is None
    decision = one.completion(3.0, Answer(200, {"choices": []}, ""))
    assert decision == Decision(
        "unhealthy", "unhealthy 3 times in a row: a small completion: answered 200"
    )


def test_a_completion_that_a_busy_service_puts_off_says_nothing() -> None:
    one = Judge("new", 5.0)
    for second in range(5):
        assert one.health(float(second), GOOD) is None
        assert one.completion(float(second), Answer(429, {}, "")) is None
    assert one.health(5.0, GOOD) == Decision("healthy", "")


def test_good_completions_do_not_hide_bad_health_nor_the_other_way() -> None:
    one = Judge("new", 100.0)
    one.health(0.0, GOOD)
    outcomes = []
    for second in range(1, 4):
        assert one.completion(float(second), TEXT) is None
        outcomes.append(one.health(float(second), SILENT))
    assert outcomes[:2] == [None, None]
    assert outcomes[2] is not None
