"""The kernel's count of waiting."""

import os
import time
from pathlib import Path

from tinytx.measure.machine.scheduling import Scheduled, scheduled, wait_share


def test_threads_are_added_up(tmp_path: Path) -> None:
    for thread, text in (("1", "100 20 3\n"), ("2", "50 5 1\n"), ("3", "")):
        (tmp_path / "self/task" / thread).mkdir(parents=True)
        (tmp_path / "self/task" / thread / "schedstat").write_text(text)
    assert scheduled(tmp_path) == Scheduled(150, 25)


def test_a_kernel_that_does_not_count_is_unknown(tmp_path: Path) -> None:
    assert scheduled(tmp_path) is None
    assert wait_share(None, Scheduled(1, 1)) is None


def test_the_share_is_of_the_wanted_time_between_two_looks() -> None:
    assert wait_share(Scheduled(100, 20), Scheduled(400, 120)) == 0.25
    assert wait_share(Scheduled(100, 20), Scheduled(100, 20)) is None


def test_this_process_sees_its_own_work() -> None:
    before = scheduled()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        os.getpid()
    after = scheduled()
    if before is not None and after is not None:
        assert after.running - before.running > 40_000_000
