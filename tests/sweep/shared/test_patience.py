"""Trying again: how long, how often, and what is told."""

import optuna
import pytest

from tinytx.errors import PrerequisiteError
from tinytx.sweep.shared.patience import LONGEST_WAIT, Patience


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now, self.naps = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def failing(times: int, log: list[str]):
    def work() -> str:
        log.append("try")
        if len(log) <= times:
            raise optuna.exceptions.StorageInternalError("the line is cut")
        return "done"

    return work


def patience(clock: Clock, told: list[str], limit: float = 1_800.0) -> Patience:
    return Patience("postgresql://tx@s/db", told.append, limit, clock.sleep, lambda: clock.now)


def test_it_tries_with_growing_pauses_and_tells_once_at_either_end() -> None:
    clock, told, log = Clock(), list[str](), list[str]()
    assert patience(clock, told).keep_trying(failing(9, log)) == "done"
    assert len(log) == 10
    assert clock.naps[0] < clock.naps[3] < LONGEST_WAIT + 0.1
    assert max(clock.naps) <= LONGEST_WAIT
    assert told[0].startswith("the database postgresql://tx@s/db does not answer (the line is cut)")
    assert told[0].endswith("trying again for up to 30 minutes")
    assert told[1].startswith("the database answers again")
    assert len(told) == 2


def test_after_the_limit_it_ends_with_a_sentence() -> None:
    clock, told, log = Clock(), list[str](), list[str]()
    with pytest.raises(PrerequisiteError, match=r"has not answered for .* s: the line is cut"):
        patience(clock, told, 60.0).keep_trying(failing(10_000, log))
    assert 60.0 <= clock.now < 60.0 + LONGEST_WAIT


def test_within_another_it_tries_once_so_that_no_lock_is_held_meanwhile() -> None:
    clock, told, log = Clock(), list[str](), list[str]()
    one = patience(clock, told)

    def outer() -> str:
        return one.keep_trying(failing(2, log))

    assert one.keep_trying(outer) == "done"
    assert len(log) == 3
    assert len(clock.naps) == 2


def test_after_ctrl_c_nothing_is_tried_again() -> None:
    clock, told, log = Clock(), list[str](), list[str]()
    one = patience(clock, told)
    one.lose()
    with pytest.raises(PrerequisiteError):
        one.keep_trying(failing(1, log))
    assert (log, clock.naps, told) == (["try"], [], [])


def test_other_errors_are_not_the_databases() -> None:
    with pytest.raises(ZeroDivisionError):
        patience(Clock(), []).keep_trying(lambda: 1 / 0)
