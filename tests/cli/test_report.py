"""``tinytx report``: a stored report shown again."""

from pathlib import Path

import pytest

from tinytx.cli.main import run
from tinytx.errors import UsageError
from tinytx.measure.record.reading import parse_report, read_report

STORED = Path(__file__).parents[1] / "fixtures" / "report-1.json"


def test_a_stored_report_is_shown_and_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert run(["report", str(STORED), "--html", str(page), "--json"]) == 0
    out, err = capsys.readouterr()
    assert parse_report(out.encode(), "stdout") == read_report(STORED)
    assert "2d97d65ffcfe" in err
    assert "next token at 256" in err
    assert "All 5 budgets are kept" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "FILE"),
        (["/nowhere.json"], "No such file"),
        ([str(STORED.with_name("README.md"))], "is not a report"),
        ([str(STORED), "--html", "/proc/x.html"], "cannot write --html /proc/x.html"),
        ([str(STORED), "--html", str(STORED)], "the report that is read"),
        ([str(STORED), "--report", "x"], "No such option"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    before = STORED.read_bytes()
    assert run(["report", *arguments]) == 64
    assert words in capsys.readouterr().err
    assert STORED.read_bytes() == before


def test_what_a_report_says_can_neither_paint_nor_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        STORED.read_text().replace("next token at 256", "n\\u001b[2J").replace("VmHWM", "\\u009b")
    )
    (tmp_path / "r.json").write_text(text)
    assert run(["report", str(tmp_path / "r.json"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "n?[2J" in err
    assert {one for one in out + err if not one.isprintable()} == {"\n"}
    assert parse_report(out.encode(), "stdout") == read_report(tmp_path / "r.json")


def test_a_page_that_cannot_be_written_hides_no_verdict_and_no_other_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "there.html"

    def full(*_: object) -> str:
        raise UsageError("cannot write x.md: No space left on device")

    monkeypatch.setattr("tinytx.measure.pages.markdown.render", full)
    flags = ["--markdown", str(tmp_path / "x.md"), "--html", str(page)]
    assert run(["report", str(STORED), *flags]) == 64
    err = capsys.readouterr().err
    assert "next token, p95" in err
    assert "cannot write x.md" in err
    assert page.exists()
