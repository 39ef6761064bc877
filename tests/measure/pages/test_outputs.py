"""Where a report is written: checked before measuring, and nothing of the user's is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.measure.pages.outputs import Outputs, check_writable, write_text
from tinytx.measure.record.reading import read_report
from tinytx.measure.record.report import Report


@pytest.fixture
def report() -> Report:
    return read_report(Path(__file__).parents[2] / "fixtures" / "report-1.json")


def test_every_format_that_is_wanted_is_written(tmp_path: Path, report: Report) -> None:
    files = Outputs(tmp_path / "a" / "r.json", tmp_path / "r.md", tmp_path / "r.html")
    files.check(tmp_path / "bundle")
    files.write(report)
    assert read_report(tmp_path / "a" / "r.json") == report
    assert "| budget |" in (tmp_path / "r.md").read_text()
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    Outputs().write(report)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_place_that_cannot_be_written_is_found_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for bad in (Path("/proc/report.json"), tmp_path, tmp_path / "file" / "report.json"):
        with pytest.raises(UsageError, match="--html"):
            check_writable(bad, "--html", tmp_path / "bundle")


def test_a_report_inside_the_bundle_is_refused_since_it_would_damage_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--report .* is inside the bundle"):
        Outputs(json=tmp_path / "report.json").check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_device_or_a_pipe_is_never_replaced_by_a_report(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for bad in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(UsageError, match="must not be replaced"):
            check_writable(bad, "--report")
        assert not bad.is_file()


def test_two_formats_cannot_share_a_file_nor_replace_what_is_read(tmp_path: Path) -> None:
    same = tmp_path / "x" / ".." / "page"
    with pytest.raises(UsageError, match="also the file of --markdown"):
        Outputs(markdown=tmp_path / "page", html=same).check()
    with pytest.raises(UsageError, match="also the report that is read"):
        Outputs(html=same).check(source=tmp_path / "page")


def test_the_probe_leaves_nothing_behind_and_keeps_an_old_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    check_writable(tmp_path / "report.json", "--report", tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "old"


def test_a_page_that_cannot_be_written_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot write /proc/none/page"):
        write_text(Path("/proc/none/page.html"), "x")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted read-only, which binds root as well."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a read-only file system")
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is refused here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_a_read_only_folder_is_told_before_measuring(read_only: Path) -> None:
    for option, files in (
        ("--report", Outputs(json=read_only / "r")),
        ("--markdown", Outputs(markdown=read_only / "r")),
        ("--html", Outputs(html=read_only / "new" / "r")),
    ):
        with pytest.raises(UsageError, match=f"{option}.*Read-only file system"):
            files.check()
