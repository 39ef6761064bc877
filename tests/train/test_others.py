"""What other programs use: the kernel's counters less this process's own."""

import os
import time
from pathlib import Path

import pytest

from tinytx.train import others
from tinytx.train.others import Others

TICKS = os.sysconf("SC_CLK_TCK")


def write(file: Path, busy: dict[int, float]) -> None:
    """A /proc/stat in which each core has worked so many seconds, and idled and been stolen."""
    lines = ["cpu  1 2 3 4 5 6 7 8 0 0"]
    for core, seconds in busy.items():
        user, rest = int(seconds * TICKS) - 4, "999999 888888 1 1 777777 0 0"
        lines.append(f"cpu{core} {user} 1 1 {rest}")
    file.write_text("\n".join([*lines, "intr 12 3", "ctxt 5"]) + "\n")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"wall": 100.0, "own": 7.0}
    monkeypatch.setattr(time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(time, "process_time", lambda: now["own"])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    return now


def test_only_cores_of_this_process_count_and_its_own_work_does_not(
    clock: dict[str, float], tmp_path: Path
) -> None:
    file = tmp_path / "stat"
    write(file, {0: 10, 1: 10, 2: 10, 20: 10})
    watched = Others(file)
    write(file, {0: 11.5, 1: 90, 2: 12, 20: 90})
    clock["wall"] += 2.0
    clock["own"] += 3.0
    assert watched.look() == pytest.approx(0.25)
    write(file, {0: 12.5, 1: 90, 2: 13, 20: 90})  # all of it this process's, as far as ticks tell
    clock["wall"] += 1.0
    clock["own"] += 2.1
    assert watched.look() == 0.0


@pytest.mark.parametrize(
    "text", ["", "cpu0 1 2 3\n", "cpu0 a b c d e f g\ncpu2 1 2 3 4 5 6 7\n", "cpu0 1 2 3 4 5 6 7\n"]
)
def test_counters_that_are_not_there_give_no_answer(
    clock: dict[str, float], tmp_path: Path, text: str
) -> None:
    (tmp_path / "stat").write_text(text)
    watched = Others(tmp_path / "stat")
    assert watched.look() is None
    write(tmp_path / "stat", {0: 10, 2: 10})
    clock["wall"] += 1.0
    assert watched.look() is None  # nothing to compare with
    clock["wall"] += 1.0
    assert watched.look() == 0.0
    clock["wall"] += 0.9 * others.SHORTEST  # a tick more or less would mean too much
    assert watched.look() is None
    assert Others(tmp_path / "nothing").look() is None


def test_this_machines_counters_can_be_read() -> None:
    watched = Others()
    time.sleep(1.5 * others.SHORTEST)
    found = watched.look()
    assert found is not None
    assert 0.0 <= found < 2 * (os.cpu_count() or 1)
    assert others.MUCH < 1.0
