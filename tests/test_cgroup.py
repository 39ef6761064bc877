"""What control groups leave of a machine: recorded trees of both versions, and real groups."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytx import cgroup
from tinytx.cgroup import Memory, Quota

MB = 1_000_000
NONE = "9223372036854771712\n"
SCOPE = "sys/fs/cgroup/user.slice/session.scope"
MOUNTED = "35 31 0:32 {inside} /sys/fs/cgroup{at} rw,relatime shared:9 - {kind} x rw,{controller}\n"


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


V2 = {
    "proc/self/cgroup": "0::/user.slice/session.scope\n",
    f"{SCOPE}/memory.max": "max\n",
    f"{SCOPE}/memory.current": "30000000\n",
    f"{SCOPE}/memory.peak": "40000000\n",
    "sys/fs/cgroup/user.slice/memory.max": f"{300 * MB}\n",
    "sys/fs/cgroup/user.slice/memory.current": f"{250 * MB}\n",
    "sys/fs/cgroup/user.slice/memory.stat": "inactive_file 60000000\nactive_file 10000000\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
}
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/a/b\n4:memory:/a/b\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": NONE,
    "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{300 * MB}\n",
    "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{250 * MB}\n",
    "sys/fs/cgroup/memory/a/memory.stat": "total_inactive_file 50000000\n",
    "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": NONE,
    "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "7\n",
    "sys/fs/cgroup/memory/a/b/memory.max_usage_in_bytes": "90000000\n",
    "sys/fs/cgroup/memory/a/b/memory.stat": f"cache 1\nhierarchical_memory_limit {300 * MB}\n",
}


def test_the_limit_of_an_ancestor_counts_and_what_its_others_have_taken(tmp_path: Path) -> None:
    root = tree(tmp_path, V2)
    assert cgroup.memory(root) == Memory(
        limit=300 * MB,
        room=120 * MB,  # of 300, 250 are taken, of which 70 are files that give way
        peak=40 * MB,
        of=str(root / "sys/fs/cgroup/user.slice"),
    )


def test_version_1_tells_the_same_of_its_ancestors(tmp_path: Path) -> None:
    root = tree(tmp_path, V1)
    above = str(root / "sys/fs/cgroup/memory/a")
    assert cgroup.memory(root) == Memory(300 * MB, 100 * MB, 90 * MB, above)


def test_in_a_container_of_version_1_the_hidden_ancestor_is_told_by_the_statistics(
    tmp_path: Path,
) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/a/docker/1\n",
        "proc/self/mountinfo": MOUNTED.format(
            inside="/a/docker/1", at="/memory", kind="cgroup", controller="memory"
        ),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{500 * MB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{20 * MB}\n",
        "sys/fs/cgroup/memory/memory.max_usage_in_bytes": f"{90 * MB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"hierarchical_memory_limit {200 * MB}\n",
    }
    assert cgroup.memory(tree(tmp_path, files)) == Memory(200 * MB, 180 * MB, 90 * MB, "")


def test_groups_of_old_kernels_that_do_not_inherit_are_not_held_by_the_group_above(
    tmp_path: Path,
) -> None:
    apart = {"sys/fs/cgroup/memory/a/b/memory.stat": f"hierarchical_memory_limit {NONE}"}
    assert cgroup.memory(tree(tmp_path, {**V1, **apart})).limit is None


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/system.slice/docker-1.scope/job", "/system.slice/docker-1.scope"),  # the host's path
        ("/job", "/"),
        ("/job", "/.."),  # a mount that was made outside of the name space
    ],
)
def test_a_path_is_found_in_a_mount_that_shows_a_part_of_the_hierarchy(
    tmp_path: Path, path: str, inside: str
) -> None:
    files = {
        "proc/self/cgroup": f"0::{path}\n",
        "proc/self/mountinfo": "7 1 8:1 / / rw - ext4 /dev/sda rw\nshort\n"
        + MOUNTED.format(inside=inside, at="", kind="cgroup2", controller="nsdelegate"),
        "sys/fs/cgroup/memory.max": f"{90 * MB}\n",
        "sys/fs/cgroup/job/memory.max": f"{100 * MB}\n",
    }
    root = tree(tmp_path, files)
    chain = cgroup.find_chain("memory", root)
    assert chain is not None
    assert chain.folders == (root / "sys/fs/cgroup/job", root / "sys/fs/cgroup")
    assert cgroup.memory(root).limit == 90 * MB


def test_a_process_outside_of_its_name_space_is_held_by_what_it_can_see(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/memory.max": f"{90 * MB}\n"}
    assert cgroup.memory(tree(tmp_path, files)).limit == 90 * MB


def test_a_group_with_a_limit_and_no_peak_has_its_limit(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/memory.max": "512000000\n"}
    found = cgroup.memory(tree(tmp_path, files))
    assert (found.limit, found.peak) == (512 * MB, None)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "proc/self/cgroup": "0::/app\n",
                "sys/fs/cgroup/app/memory.max": "512000000\n",
                "sys/fs/cgroup/app/memory.peak": "90000000\n",
            },
            (512 * MB, 90 * MB),
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.peak": "7\n",
            },
            (None, 7),
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/x\n2:memory,hugetlb:/docker/1\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": NONE,
                "sys/fs/cgroup/memory/memory.max_usage_in_bytes": "8\n",
            },
            (None, 8),
        ),
        ({"proc/self/cgroup": "0::/\n"}, (None, None)),
        ({"proc/self/cgroup": "garbage\n\n::\n"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_limit_and_peak_of_both_versions(
    tmp_path: Path, files: dict[str, str], expected: tuple[int | None, int | None]
) -> None:
    found = cgroup.memory(tree(tmp_path, files))
    assert (found.limit, found.peak) == expected


@pytest.mark.parametrize(
    ("kilobytes", "expected"), [(500_000, 120 * MB), (90_000, 90_000 * 1_024), (None, 120 * MB)]
)
def test_available_is_the_least_of_machine_and_groups(
    tmp_path: Path, kilobytes: int | None, expected: int
) -> None:
    line = "" if kilobytes is None else f"MemAvailable:   {kilobytes} kB\n"
    root = tree(tmp_path, {**V2, "proc/meminfo": f"MemTotal: 4000000 kB\n{line}"})
    assert cgroup.available(root) == expected


def test_where_nothing_tells_it_what_is_available_is_not_known(tmp_path: Path) -> None:
    assert cgroup.available(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/cpu.stat": "usage_usec 9\nnr_throttled 4\nthrottled_usec 2000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/b/cpu.stat": "throttled_usec 77\n",
            },
            Quota(1.5, 2_000),
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.stat": "nr_periods 5\nthrottled_time 3000000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            Quota(0.5, 3_000),
        ),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
            Quota(None, None),
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 0\n"}, Quota(None, None)),
        ({}, Quota(None, None)),
    ],
)
def test_the_least_quota_of_processor_time_counts(
    tmp_path: Path, files: dict[str, str], expected: Quota
) -> None:
    assert cgroup.quota(tree(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("quota", "cores", "name"),
    [("20000", 1, "0.20"), ("100000", 1, "1.00"), ("9900000", 4, "99.00"), ("250000", 3, "2.50"),
     ("max", 4, "")],
)  # fmt: skip
def test_no_more_cores_are_used_than_a_quota_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int, name: str
) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    root = tree(tmp_path, files)
    assert (cgroup.usable_cores(root), cgroup.quota_name(root)) == (cores, name)


@pytest.fixture
def real_groups(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A real group of version 1 with one below it, of the controller that the test names."""
    base = Path("/sys/fs/cgroup") / request.param
    if os.geteuid() != 0 or not (base / "tasks").exists():
        pytest.skip(f"needs root and the controller {request.param} of version 1")
    outer = base / f"tinytx-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        yield outer
    finally:
        inner.rmdir()
        outer.rmdir()


def inside(group: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """What Python says in the lower one of the two groups."""
    enter = 'echo $$ > "$0" && exec "$@"'
    return subprocess.run(
        ["/bin/sh", "-c", enter, str(group / "inner/cgroup.procs"), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


@pytest.mark.root
@pytest.mark.parametrize("real_groups", ["memory"], indirect=True)
def test_a_real_limit_above_is_seen_where_the_own_group_says_that_there_is_none(
    real_groups: Path,
) -> None:
    (real_groups / "memory.limit_in_bytes").write_text(str(200 << 20))
    assert int((real_groups / "inner/memory.limit_in_bytes").read_text()) > 1 << 62
    said = inside(
        real_groups, "from tinytx import cgroup; m = cgroup.memory(); print(m.limit, m.of)"
    )
    assert said.stdout.split() == [str(200 << 20), str(real_groups)]


@pytest.mark.root
@pytest.mark.parametrize("real_groups", ["cpu"], indirect=True)
def test_a_real_quota_above_is_seen_and_what_it_costs_is_counted(real_groups: Path) -> None:
    (real_groups / "cpu.cfs_quota_us").write_text("10000")
    code = (
        "import time; from tinytx import cgroup; end = time.process_time() + 0.1\n"
        "while time.process_time() < end: pass\n"
        "time.sleep(0.2); q = cgroup.quota()\n"
        "print(q.cores, q.stalled_us > 0, cgroup.usable_cores())"
    )
    assert inside(real_groups, code).stdout.split() == ["0.1", "True", "1"]
