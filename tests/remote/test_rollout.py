"""Several devices: who comes when, and when no further one is begun."""

import os
import signal
import threading
import time

import pytest

from tinytx.remote.deploy import Outcome
from tinytx.remote.devices import Device, Named
from tinytx.remote.rollout import Rollout, exit_code, split

RELEASE = "a" * 64


def fleet(count: int, canaries: tuple[int, ...] = ()) -> list[Named]:
    return [
        Named(name=f"d{n}", device=Device(host=f"d{n}", canary=n in canaries)) for n in range(count)
    ]


class World:
    """Devices of which some are broken; remembers who was asked, and how many at once."""

    def __init__(self, broken: dict[str, int] | None = None) -> None:
        self.broken = broken or {}
        self.began: list[str] = []
        self.committed: set[str] = set()
        self.most = self._now = 0
        self._lock = threading.Lock()

    def deploy(self, named: Named) -> Outcome:
        with self._lock:
            self.began.append(named.name)
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01)
        with self._lock:
            self._now -= 1
        if code := self.broken.get(named.name):
            return Outcome(device=named.name, end="failed", release=RELEASE, exit_code=code)
        unchanged = named.name in self.committed
        self.committed.add(named.name)
        return Outcome(device=named.name, end="committed", release=RELEASE, unchanged=unchanged)


def ends(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.device: outcome.end for outcome in outcomes}


def test_one_broken_of_twenty_leaves_nineteen_committed_where_two_may_fail() -> None:
    world = World({"d7": 10})
    outcomes = Rollout(fleet(20), RELEASE, world.deploy, parallel=4, max_failures=2).run()
    assert [outcome.device for outcome in outcomes] == [f"d{n}" for n in range(20)]
    assert ends(outcomes) == {f"d{n}": "failed" if n == 7 else "committed" for n in range(20)}
    assert world.began[0] == "d0"
    assert world.most <= 4
    assert exit_code(outcomes) == 10


def test_after_so_many_failures_no_further_device_is_begun_and_a_second_call_does_the_rest() -> (
    None
):
    world = World({"d7": 10})
    outcomes = Rollout(fleet(20), RELEASE, world.deploy, max_failures=1).run()
    assert world.began == [f"d{n}" for n in range(8)]
    assert [outcome.end for outcome in outcomes[8:]] == ["not begun"] * 12
    assert outcomes[-1].why == "1 failed: d7"
    world.broken.clear()
    again = Rollout(fleet(20), RELEASE, world.deploy, parallel=2).run()
    assert set(ends(again).values()) == {"committed"}
    assert sum(outcome.unchanged for outcome in again) == 7
    assert exit_code(again) == 0


def test_canaries_come_first_one_by_one_and_when_one_fails_nobody_follows() -> None:
    world = World({"d5": 7})
    outcomes = Rollout(fleet(8, (3, 5)), RELEASE, world.deploy, parallel=4, max_failures=100).run()
    assert world.began == ["d3", "d5"]
    found = ends(outcomes)
    assert (found["d3"], found["d5"], found["d0"]) == ("committed", "failed", "not begun")
    assert outcomes[0].why == "d5, the canary, was not committed"
    assert exit_code(outcomes) == 7


def test_after_the_canary_so_many_are_at_work_at_once() -> None:
    together = threading.Barrier(3)

    def work(named: Named) -> Outcome:
        if named.name != "d0":
            together.wait(60)  # nobody ends before three have begun
        return Outcome(device=named.name, end="committed", release=RELEASE)

    assert exit_code(Rollout(fleet(7), RELEASE, work, parallel=3).run()) == 0


def test_without_a_mark_the_first_is_the_canary() -> None:
    devices = fleet(3)
    assert split(devices) == (devices[:1], devices[1:])
    assert split(devices[:1]) == (devices[:1], [])


@pytest.mark.parametrize(
    ("codes", "expected"), [((7, 7), 7), ((9,), 9), ((7, 8), 10), ((10, 9), 10), ((), 0)]
)
def test_the_exit_code_is_what_those_that_failed_agree_on(
    codes: tuple[int, ...], expected: int
) -> None:
    failed = [
        Outcome(device=f"f{n}", end="failed", release=RELEASE, exit_code=code)
        for n, code in enumerate(codes)
    ]
    assert exit_code([Outcome(device="a", end="committed", release=RELEASE), *failed]) == expected


def test_ctrl_c_ends_what_runs_and_says_who_was_not_begun() -> None:
    stop, both = threading.Event(), threading.Barrier(2)

    def hang(named: Named) -> Outcome:
        if named.name == "d0":
            return Outcome(device=named.name, end="committed", release=RELEASE)
        if both.wait(30) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(30)
        return Outcome(device=named.name, end="interrupted", release=RELEASE, exit_code=130)

    outcomes = Rollout(fleet(4), RELEASE, hang, parallel=2, stop=stop).run()
    assert list(ends(outcomes).values()) == ["committed", "interrupted", "interrupted", "not begun"]
    assert outcomes[-1].why == "interrupted"
    assert exit_code(outcomes) == 130
