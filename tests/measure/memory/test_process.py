"""The kernel's figures, recorded and live."""

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.errors import PrerequisiteError
from tinytx.measure.memory import process
from tinytx.measure.memory.process import Resident

Tree = Callable[..., Path]


def test_a_recorded_process_is_read_in_bytes(tree: Tree) -> None:
    proc = tree("vm") / "proc"
    assert process.resident(proc) == Resident(50_000 * 1024, 20_000 * 1024, 30_000 * 1024, 0)
    assert process.high_water(proc) == 60_000 * 1024


def test_a_reset_writes_five(tree: Tree) -> None:
    root = tree("vm")
    assert process.reset_high_water(root / "proc")
    assert (root / "proc/self/clear_refs").read_text() == "5"
    assert not process.reset_high_water(root / "nothing")


def test_the_high_water_mark_sees_a_peak_that_is_gone_and_forgets_it_after_a_reset() -> None:
    before = process.resident().rss
    assert process.reset_high_water()
    with mmap.mmap(-1, 100_000_000) as fresh:  # pages that no earlier test has left to the heap
        for page in range(0, len(fresh), mmap.PAGESIZE):
            fresh[page] = 1
    assert process.high_water() - before > 90_000_000
    assert process.reset_high_water()
    assert process.high_water() - process.resident().rss < 10_000_000


def test_without_proc_the_message_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="smaps_rollup") as caught:
        process.resident(tmp_path)
    assert "/proc" in caught.value.remedy


def test_a_kernel_without_a_mark_is_said(tree: Tree) -> None:
    root = tree("vm", {"proc/self/status": "Name:\tx\n", "proc/self/smaps_rollup": "Rss: 1 kB\n"})
    with pytest.raises(PrerequisiteError, match="VmHWM"):
        process.high_water(root / "proc")
    with pytest.raises(PrerequisiteError, match="Anonymous"):
        process.resident(root / "proc")
