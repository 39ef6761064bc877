"""Programs by name: who is charged with what, and that the bench itself never is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tinytx.measure.machine.neighbours import Busy, Ledger, Process, process_times, used_between

Tree = Callable[..., Path]


def test_a_name_may_hold_spaces_and_brackets(tree: Tree) -> None:
    line = "9 (tmux: server (1)) S 1 1 1 0 -1 4194304 1 1 1 1 30 4 5 6 20 0 1 0 777 0\n"
    times = process_times(tree("vm", {"proc/9/stat": line}))
    assert times == {(9, 777): Process("tmux: server (1)", 1, 34, 11)}


def test_use_is_the_difference_and_programs_of_one_name_are_added_up() -> None:
    before = {(7, 1): Process("cc", 1, 100), (8, 1): Process("cc", 1, 5)}
    after = {(7, 1): Process("cc", 1, 130), (8, 1): Process("cc", 1, 9)}
    assert used_between(before, after, own=42) == {"cc": 34}


def test_a_process_that_began_meanwhile_counts_from_zero_though_its_number_was_used() -> None:
    before = {(7, 1): Process("old", 1, 100)}
    after = {(7, 9): Process("new", 1, 30)}
    assert used_between(before, after, own=42) == {"new": 30}


def test_the_bench_and_everything_that_it_started_is_left_out() -> None:
    after = {
        (42, 1): Process("tinytx", 1, 500, 900),
        (50, 1): Process("python", 42, 300),
        (51, 1): Process("helper", 50, 200),
        (60, 1): Process("other", 1, 10),
    }
    assert used_between({}, after, own=42) == {"other": 10}


def test_children_that_ended_are_charged_to_their_parent_once() -> None:
    before = {(7, 1): Process("make", 1, 10, 100), (8, 1): Process("cc", 7, 40)}
    after = {(7, 1): Process("make", 1, 12, 180)}  # cc ended with 60, another one used 20
    assert used_between(before, after, own=42) == {"make": 2 + (80 - 40)}


def test_a_whole_family_that_ended_is_charged_to_the_ancestor_that_lives() -> None:
    before = {
        (7, 1): Process("make", 1, 10, 100),
        (8, 1): Process("sh", 7, 5, 30),
        (9, 1): Process("cc", 8, 40),
    }
    after = {(7, 1): Process("make", 1, 10, 100 + 5 + 30 + 60)}  # cc used 20 more before it ended
    assert used_between(before, after, own=42) == {"make": 20}


def test_the_first_process_does_not_inherit_the_time_of_orphans() -> None:
    before = {(1, 0): Process("init", 0, 5, 1_000)}
    after = {(1, 0): Process("init", 0, 7, 90_000)}
    assert used_between(before, after, own=42) == {"init": 2}


def test_a_child_that_ended_and_is_not_yet_counted_takes_nothing_away() -> None:
    before = {(7, 1): Process("make", 1, 10, 100), (8, 1): Process("cc", 7, 40)}
    after = {(7, 1): Process("make", 1, 12, 100)}
    assert used_between(before, after, own=42) == {"make": 2}


def test_a_ledger_adds_up_looks_and_ranks(tree: Tree) -> None:
    def line(number: int, name: str, ticks: int) -> str:
        return f"{number} ({name}) R 1 1 1 0 -1 0 1 1 1 1 {ticks} 0 0 0 20 0 1 0 5 0\n"

    root = tree("vm", {"proc/7/stat": line(7, "idle", 3), "proc/8/stat": line(8, "busy", 10)})
    ledger = Ledger(root)
    for ticks in (110, 260):
        (root / "proc/8/stat").write_text(line(8, "busy", ticks))
        ledger.look()
    assert ledger.busiest(ticks_per_core=500.0) == [Busy("busy", 0.5)]


def test_a_real_busy_program_is_named_and_a_child_of_this_process_is_not() -> None:
    spin = "import time\nwhile time.process_time() < 0.15: pass\nprint(flush=True)\ninput()"
    root = Path("/")
    ledger = Ledger(root)
    child = subprocess.Popen(
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    number = next(key for key in process_times(root) if key[0] == child.pid)
    now = process_times(root)
    assert now[number].ticks >= 10
    assert now[number].name not in used_between({}, {number: now[number]}, own=now[number].parent)
    assert used_between({}, {number: now[number]}, own=1)[now[number].name] >= 10
    ledger.look()
    child.communicate(b"\n", timeout=10)
