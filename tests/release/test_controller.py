"""Whether a memory limit can hold here, from what the kernel says."""

from pathlib import Path

import pytest

from tinytx.release import controller, status
from tinytx.release.controller import memory_controller
from tinytx.release.store import open_store

HEADER = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"


def machine(root: Path, **files: str) -> Path:
    names = {"v2": "sys/fs/cgroup/cgroup.controllers", "v1": "proc/cgroups"}
    for name, text in files.items():
        path = root / names[name]
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return root


def test_version_2_lists_its_controllers(tmp_path: Path) -> None:
    assert memory_controller(machine(tmp_path, v2="cpuset cpu io memory pids\n"))


def test_a_kernel_that_was_told_not_to_have_one_has_none(tmp_path: Path) -> None:
    rows = HEADER + "memory\t0\t60\t1\n"
    assert not memory_controller(machine(tmp_path, v2="cpuset cpu io pids\n", v1=rows))


@pytest.mark.parametrize(("enabled", "there"), [("1", True), ("0", False)])
def test_version_1_says_whether_it_is_on(tmp_path: Path, enabled: str, there: bool) -> None:
    rows = f"{HEADER}cpu\t1\t60\t1\nmemory\t2\t60\t{enabled}\n"
    assert memory_controller(machine(tmp_path, v1=rows)) is there


def test_no_evidence_is_no_controller(tmp_path: Path) -> None:
    assert not memory_controller(tmp_path)


def test_the_status_says_that_the_limit_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store", create=True)
    monkeypatch.setattr(status, "memory_controller", lambda: False)
    assert controller.IGNORED in status.status(store, [])["notes"]
    monkeypatch.setattr(status, "memory_controller", lambda: True)
    assert controller.IGNORED not in status.status(store, [])["notes"]
