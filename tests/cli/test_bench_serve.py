"""``tinytx bench --serve``: what goes with it, and what it ends with."""

import json
from pathlib import Path

import pytest

from tinytx.cli.main import run

LOAD = ["--rates", "200", "--requests", "16", "--tokens", "4", "--time-limit", "1"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--serve"], 64, "needs a BUNDLE, or the ADDRESS"),
        (["BUNDLE", "--serve", "http://127.0.0.1:1"], 64, "not both"),
        (["BUNDLE", "--serve", "--rates", "0,5"], 64, "0 is not a rate"),
        (["BUNDLE", "--serve", "--rates", "fast"], 64, "not a list of numbers"),
        (["BUNDLE", "--serve", "--rates", "-3"], 64, "-3 is not a rate"),
        (["BUNDLE", "--serve", "--token-file", "x"], 64, "with an ADDRESS only"),
        (["--serve", "http://127.0.0.1:1", "--precision", "int8"], 64, "--precision is for"),
        (["BUNDLE", "--serve", "--why"], 64, "--why does not go with --serve"),
        (["BUNDLE", "--serve", "--html", "x"], 64, "--html does not go with --serve"),
        (["BUNDLE", "--rates", "5"], 64, "--rates goes with --serve only"),
        (["BUNDLE", "--serve", "--budgets", "constitution"], 64, "unknown key"),
        (["BUNDLE", "--budgets", "serving"], 64, "unknown key"),
        (["--serve", "https://127.0.0.1"], 64, "without TLS"),
        (["--serve", "127.0.0.1:1", "--requests", "16"], 10, "Connection refused"),
        (["BUNDLE", "--serve", "--tokens", "45"], 64, "no room for a prompt in the context of 48"),
        (["nothing-here", "--serve"], 9, "no such folder"),
    ],
)
def test_bad_input_gives_one_sentence_and_its_code(
    tiny_bundle: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(tiny_bundle) if word == "BUNDLE" else word for word in arguments]
    assert run(["bench", *words]) == code
    told = capsys.readouterr().err
    assert says in told and "Traceback" not in told


@pytest.mark.long
def test_a_budget_that_no_server_keeps_fails_with_a_table_json_and_report(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle may follow --serve, whose ADDRESS is left out."""
    budgets, report = tmp_path / "mine.toml", tmp_path / "report.json"
    budgets.write_text('schema = 1\n[budget.rss]\nat_most = 1\nunit = "MB"\n')
    arguments = ["bench", "--serve", str(tiny_bundle), *LOAD, "--budgets", str(budgets)]
    code = run([*arguments, "--json", "--report", str(report)])
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert json.loads(report.read_text()) == document
    assert [row["name"] for row in document["budgets"]] == ["rss"]
    if not document["machine"]["before"]["emulation"]:
        assert code == 7 and "over budget: memory at rest (RSS)" in captured.err
    assert "16" in captured.err and "tokens/s" in captured.err
