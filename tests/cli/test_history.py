"""``tinytx bench --history``: the trend, what it refuses, what it skips."""

import json
import shutil
from pathlib import Path

import pytest

from tinytx.cli.main import run

STORED = Path(__file__).parents[1] / "fixtures" / "report-1.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three reports, a day apart, of two bundles; the last one fails."""
    path = tmp_path / "reports"
    path.mkdir()
    plain = json.loads(STORED.read_bytes())
    for day, megabytes, bundle in ((1, 80.0, "a" * 64), (2, 84.0, "a" * 64), (3, 420.0, "b" * 64)):
        plain["started_at"] = f"2026-01-0{day}T00:00:00+00:00"
        plain["bundle"]["id"] = bundle
        row = plain["budgets"][0]
        row |= {"measured": megabytes, "upper": megabytes, "lower": megabytes}
        row["verdict"] = "FAIL" if megabytes > 400 else "PASS"
        (path / f"{day}.json").write_text(json.dumps(plain))
    return path


def test_the_table_has_the_trend_the_change_and_every_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "--history", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "3 reports" in err
    for word in ("▁▁█", "420 MB", "+400.0%", "PPF", "400 MB", "bbbbbbbbbbbb"):
        assert word in err


def test_other_json_files_are_skipped_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "training_metrics.json").write_text('{"schema": 1, "epochs": []}')
    (folder / "notes.txt").write_text("not even JSON")
    assert run(["bench", "--history", str(folder)]) == 0
    err = capsys.readouterr().err
    assert "skipped" in err
    assert "training_metrics.json" in err
    assert "notes.txt" not in err


def test_json_and_pages_of_the_trend(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [str(tmp_path / "h.html"), str(tmp_path / "h.md")]
    arguments = ["bench", "--history", str(folder), "--html", pages[0], "--markdown", pages[1]]
    assert run([*arguments, "--json", "--quiet"]) == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert [report["file"] for report in series["reports"]] == ["1.json", "2.json", "3.json"]
    assert [report["budgets"][0]["measured"] for report in series["reports"]] == [80, 84, 420]
    assert "The trend over 3 reports" in Path(pages[0]).read_text()
    assert "| memory at rest" in Path(pages[1]).read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x"], "BUNDLE does not go with --history"),
        (["--threads", "1"], "--threads does not go with --history"),
        (["--time-limit", "300"], "--time-limit does not go with --history"),
        (["--device", "pi-4"], "--device does not go with --history"),
        (["--scenarios", "f"], "--scenarios does not go with --history"),
        (["--budgets", "f"], "--budgets does not go with --history"),
        (["--report", "f"], "--report does not go with --history"),
        (["--html", "/proc/x.html"], "cannot write --html /proc/x.html"),
    ],
)
def test_whatever_measures_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["bench", "--history", str(folder), *arguments]) == 64
    assert words in capsys.readouterr().err


def test_a_folder_without_reports_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, words in (
        (tmp_path / "none", "does not exist"),
        (STORED, "is not a folder"),
        (tmp_path, "holds no report that can be read"),
    ):
        assert run(["bench", "--history", str(folder)]) == 64
        assert words in capsys.readouterr().err
    (tmp_path / "x.json").write_text("{}")
    assert run(["bench", "--history", str(tmp_path)]) == 64
    assert "other JSON files: 1" in capsys.readouterr().err


def test_the_stored_reports_are_left_as_they_were(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    shutil.copytree(folder, folder.with_name("copy"))
    assert run(["bench", "--history", str(folder), "--quiet"]) == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_what_a_report_says_can_neither_paint_nor_steer_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.glob("*.json"):
        plain = json.loads(path.read_bytes())
        plain["machine"]["before"]["processor"] = "x\x1b[2Jy\nz\u202e[red]"
        plain["bundle"]["id"] = "\x9b31m" + "b" * 60
        path.write_text(json.dumps(plain))
    (folder / "e\x1b[31m.json").write_text("{}")
    assert run(["bench", "--history", str(folder)]) == 0
    err = capsys.readouterr().err
    assert "x?[2Jy?z?[red], x86_64" in err
    assert "last bundle ?31m" in err
    assert "skipped" in err
    assert {one for one in err if not one.isprintable()} == {"\n"}


def test_a_page_that_cannot_be_written_hides_no_trend(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinytx.measure.pages.outputs.atomic_write", full)
    assert run(["bench", "--history", str(folder), "--html", str(folder / "h.html")]) == 64
    err = capsys.readouterr().err
    assert "420 MB" in err
    assert "h.html: No space left on device" in err
