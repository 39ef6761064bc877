"""Threads sleep beside busy programs, spin where the cores are free, and compute the same."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.train import validate, waiting
from tinytx.train.others import Others
from tinytx.train.waiting import IdleTeams, Waiting


class Told(Others):
    """Says what it is given."""

    def __init__(self, *used: float | None) -> None:
        self.used = list(used)

    def look(self) -> float | None:
        return self.used.pop(0)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", 0.0)
    for name in waiting.CHOSEN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def tasks() -> set[str]:
    """Threads of this process, by name: one of an earlier test may end meanwhile."""
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize(("used", "asleep"), [(0.1, False), (1.2, True), (None, False)])
def test_the_passes_before_the_first_step_wait_as_the_machine_asks(
    two_threads: None, used: float | None, asleep: bool
) -> None:
    watched = Waiting(2, 2, Told(None, used))
    watched.settle()
    assert watched.asleep is asleep
    watched.close()


def test_the_sample_is_drawn_on_one_thread_and_the_others_are_given_back(two_threads: None) -> None:
    used = []

    class Model:
        class model:  # noqa: N801
            max_seq_length = 8

        def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
            used.append(torch.get_num_threads())
            return torch.zeros(1, tokens.shape[1], 4)

    class Names:
        start_id = 1

        def decode(self, ids: list[int]) -> str:
            return str(len(ids))

    assert validate.sample(Model(), Names(), 20) == "7"  # type: ignore[arg-type]
    assert used == [1] * 7
    assert torch.get_num_threads() == 2


def test_threads_sleep_while_others_keep_a_core_and_no_longer(two_threads: None) -> None:
    watched = Waiting(2, 2, Told(0.1, 1.0, 0.9, 0.1, 1.2))
    assert watched.look() == ""
    assert not watched.asleep
    assert "1.0 of 2 cores busy" in watched.look()
    assert watched.asleep
    assert watched.look() == ""  # told once
    assert watched.asleep
    assert watched.look() == ""
    assert not watched.asleep
    assert watched.look() == ""
    watched.close()
    assert not watched.asleep


@pytest.mark.parametrize(
    ("threads", "cores", "used"), [(1, 2, 1.0), (2, 4, 2.0), (2, 2, 0.3), (2, 2, None)]
)
def test_with_a_core_for_every_thread_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, threads: int, cores: int, used: float | None
) -> None:
    monkeypatch.setattr(waiting, "IdleTeams", lambda *_: pytest.fail("put to sleep"))
    watched = Waiting(threads, cores, Told(used))
    watched.look()
    watched.close()


@pytest.mark.parametrize("name", sorted(waiting.CHOSEN))
def test_the_users_word_on_waiting_is_kept_and_the_load_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1000")
    watched = Waiting(2, 2, Told(1.0))
    assert watched.look() != ""
    assert not watched.asleep


def test_it_looks_once_a_second_and_not_at_what_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 1.0)
    now = {"s": 0.0}
    monkeypatch.setattr(time, "perf_counter", lambda: now["s"])
    told = Told(2.0, 0.25, 0.5)
    watched = Waiting(1, 2, told)
    now["s"] = 40.0  # compilers ran
    watched.begin()
    for now["s"] in (40.5, 41.0, 41.5, 43.0):
        watched.look()
    assert told.used == []
    assert watched.mean() == pytest.approx((1 * 0.25 + 2 * 0.5) / 3)
    assert watched.mean() is None


def test_teams_are_there_until_they_are_dismissed(two_threads: None) -> None:
    torch.ones(waiting.SHARED_OUT).add_(1.0)  # this thread's own team
    before = tasks()
    for cores, leaders in ((2, 1), (4, 3)):
        teams = IdleTeams(2, cores)
        deadline = time.monotonic() + 20.0
        while len(tasks() - before) < 2 * leaders and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(tasks() - before) == 2 * leaders
        teams.dismiss()
        while tasks() - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not tasks() - before


def test_sums_are_the_same_asleep_and_awake(two_threads: None) -> None:
    left, right = torch.randn(700, 500), torch.randn(500, 300)

    def sums() -> list[Any]:
        product = left @ right
        return [product, product.sum(), product.softmax(1), torch.linalg.norm(product)]

    awake, teams = sums(), IdleTeams(2, len(os.sched_getaffinity(0)))
    asleep = sums()
    teams.dismiss()
    assert all(torch.equal(a, b) for a, b in zip(awake, asleep, strict=True))
    assert torch.get_num_threads() == 2
