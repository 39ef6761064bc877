"""Phase 1: each check passes here, and fails with a remedy where it must."""

from pathlib import Path

import pytest

from tinytx.errors import PrerequisiteError
from tinytx.train import prerequisites


def test_this_machine_passes_and_a_line_tells_each_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))
    lines = prerequisites.check(tmp_path / "new" / "deep")
    words = ("Python 3", "torch", "of memory may be taken", "writable", "free disk")
    for line, word in zip(lines, words, strict=True):
        assert word in line
    assert list((tmp_path / "new" / "deep").iterdir()) == []


@pytest.mark.parametrize("version", [(3, 10, 14), (2, 7, 18)])
def test_an_old_python_is_refused(version: tuple[int, ...]) -> None:
    with pytest.raises(PrerequisiteError, match="is too old") as caught:
        prerequisites.check_python(version)
    assert "3.11" in caught.value.remedy


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 1), (4, 0, 0)])
def test_a_new_python_is_accepted(version: tuple[int, ...]) -> None:
    assert prerequisites.check_python(version) == "Python " + ".".join(map(str, version))


def test_missing_packages_are_named_and_present_ones_are_not() -> None:
    with pytest.raises(PrerequisiteError, match="needs no_such_one, nor_this, which") as caught:
        prerequisites.check_packages(("numpy", "no_such_one", "nor_this"))
    assert "pip install no_such_one nor_this" in caught.value.remedy


def test_a_limit_of_a_group_above_under_which_the_kernel_would_end_it_is_refused(
    tmp_path: Path,
) -> None:
    files = {
        "proc/meminfo": "MemAvailable: 9000000 kB\n",
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": "300000000\n",
        "sys/fs/cgroup/a/memory.current": "100000000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(PrerequisiteError, match="200 MB of memory may be taken here") as caught:
        prerequisites.check_memory(tmp_path)
    assert caught.value.remedy == f"raise the limit of {tmp_path}/sys/fs/cgroup/a"
    assert prerequisites.check_memory(tmp_path, 100_000_000) == "200 MB of memory may be taken"
    assert prerequisites.check_memory(tmp_path / "nothing") == "available memory: not known"


def test_a_file_in_the_place_of_the_output_directory_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(PrerequisiteError, match="out is a file, not a directory"):
        prerequisites.check_writable(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_file_in_the_place_of_a_parent_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PrerequisiteError, match="file"):
        prerequisites.check_writable(tmp_path / "file" / "below" / "out")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_nobody_can_make_is_refused() -> None:
    with pytest.raises(PrerequisiteError, match=r"cannot write into /proc/tinytx") as caught:
        prerequisites.check_writable(Path("/proc/tinytx/out"))
    assert "--output-dir" in caught.value.remedy


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="File name too long"):
        prerequisites.check_writable(tmp_path / ("n" * 300))


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone" / "away")
    with pytest.raises(PrerequisiteError, match="cannot write into"):
        prerequisites.check_writable(tmp_path / "out")


def test_too_little_disk_is_refused_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1_230_000_000

    monkeypatch.setattr(prerequisites.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(PrerequisiteError, match=r"has 1\.23 GB of free disk; 2 GB are needed"):
        prerequisites.check_disk(tmp_path)
    Usage.free = 2_000_000_000
    assert prerequisites.check_disk(tmp_path) == "2 GB of free disk"
