"""One group for one process, on imitated kernels of both versions, and on the real one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinytx.measure.limits import groups
from tinytx.measure.limits.groups import (
    GroupUse,
    Place,
    remove_leftovers,
    temporary_group,
    up_to_a_page,
)


@pytest.mark.parametrize(
    ("version", "written"),
    [
        (1, {"memory.limit_in_bytes": "8192", "memory.memsw.limit_in_bytes": "8192"}),
        (2, {"memory.max": "8192", "memory.swap.max": "0", "memory.oom.group": "1"}),
    ],
)
def test_a_limit_counts_memory_and_leaves_no_way_to_swap(
    tmp_path: Path, kernel: None, version: int, written: dict[str, str]
) -> None:
    with temporary_group(Place(version, tmp_path), 8_192) as group:
        assert {name: (group.folder / name).read_text() for name in written} == written
        assert group.limits_swap
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "files", "expected"),
    [
        (
            1,
            {"memory.max_usage_in_bytes": "8192\n", "memory.oom_control": "oom_kill 1\n"},
            GroupUse(8_192, 8_192, 0, 1),
        ),
        (1, {"memory.failcnt": "3\n", "memory.memsw.failcnt": "4\n"}, GroupUse(0, 8_192, 7, 0)),
        (
            2,
            {"memory.peak": "4096\n", "memory.events": "low 0\nmax 9\noom 2\noom_kill 1\n"},
            GroupUse(4_096, 8_192, 9, 1),
        ),
    ],
)
def test_what_a_group_saw_is_read_in_the_words_of_its_version(
    tmp_path: Path, kernel: None, version: int, files: dict[str, str], expected: GroupUse
) -> None:
    with temporary_group(Place(version, tmp_path), 8_192) as group:
        for name, text in files.items():
            (group.folder / name).write_text(text)
        assert group.use() == expected


def test_a_kernel_without_a_peak_of_groups_says_none(tmp_path: Path, kernel: None) -> None:
    with temporary_group(Place(2, tmp_path)) as group:
        (group.folder / "memory.peak").unlink()
        assert group.use() == GroupUse(None, None, 0, 0)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (GroupUse(8_192, 8_192, 0, 0), True),
        (GroupUse(4_096, 8_192, 1, 0), True),
        (GroupUse(4_096, 8_192, 0, 0), False),
        (GroupUse(1 << 40, None, 5, 0), False),
    ],
)
def test_a_limit_is_reached_when_the_peak_or_the_kernel_s_count_says_so(
    use: GroupUse, expected: bool
) -> None:
    assert use.at_limit is expected


def test_a_limit_that_the_kernel_does_not_take_is_an_error(
    tmp_path: Path, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups.Group, "_write", lambda *rest: None)
    with pytest.raises(OSError, match="did not take"), temporary_group(Place(2, tmp_path), 8_192):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_group_is_gone_however_its_use_ends(
    tmp_path: Path, kernel: None, error: type[BaseException]
) -> None:
    with pytest.raises(error), temporary_group(Place(1, tmp_path), 8_192):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_process_enters_before_it_becomes_the_command(tmp_path: Path, kernel: None) -> None:
    with temporary_group(Place(2, tmp_path)) as group:
        command = group.entering((sys.executable, "-c", "import os; print(os.getpid())"))
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (group.folder / "cgroup.procs").read_text() == child.stdout
        (group.folder / "cgroup.procs").write_text("")  # a real one forgets the dead


def test_leftovers_of_dead_benches_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead, living, other = (
        tmp_path / name for name in ("tinytx-4194305-1", f"tinytx-{os.getpid()}-1", "system.slice")
    )
    for folder in (dead, living, other):
        folder.mkdir()
    remove_leftovers(Place(2, tmp_path))
    assert (dead.exists(), living.exists(), other.exists()) == (False, True, True)


def test_limits_are_rounded_up_to_a_page() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    assert [up_to_a_page(size) for size in (1, page, page + 0.5)] == [page, page, 2 * page]
    assert up_to_a_page(512_000_000) - 512_000_000 in range(page)


@pytest.mark.root
def test_a_real_group_sees_the_peak_of_its_process_and_ends_what_is_left(place: Place) -> None:
    code = "import time; x = bytearray(50_000_000); x = None; print(1, flush=True); time.sleep(60)"
    with temporary_group(place) as group:
        command = group.entering((sys.executable, "-I", "-S", "-c", code))
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            peak = group.use().peak
            assert peak is None or 50_000_000 < peak < 90_000_000
            start = time.monotonic()
            group.remove()
            assert not group.folder.exists()
            assert process.wait() == -9
            assert time.monotonic() - start < groups.PATIENCE
