"""``tinytx sweep --join`` from the command line: what it takes over, and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from tests.sweep.shared.conftest import PULSE
from tinytx.cli.main import run
from tinytx.sweep.shared.opening import begin

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def joining(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a worker that joins the search 's'."""
    monkeypatch.setattr("tinytx.sweep.shared.database.Postgres", lambda address: server)
    monkeypatch.setattr("tinytx.cli.sweep.shared.require", lambda *names: None)
    words = ["sweep", "--join", "--storage", "postgresql://tx@server/tx", "--study", "s"]
    return [*words, "--output-dir", str(tmp_path / "joined")]


def test_who_joins_a_search_that_is_done_sees_its_table_with_the_machines(
    joining: list[str], worker, make_plan, text_file: Path, capsys: Shown
) -> None:
    worker.search(make_plan(trials=1))
    words = [*joining, "--corpus-path", str(text_file), "--worker", "ben", "--json"]
    assert run(words) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [trial["worker"] for trial in document["trials"]] == ["anna"]
    said = re.sub(r"\s+", " ", err)
    assert "ben searches in postgresql://tx@server/tx: 1 of 1 trials are trained" in said
    assert "anna" in said
    assert "* predicted on the machine that is named" in said
    assert "the best so far, on anna (in its own --output-dir): " in said


REFUSED = [
    ([], 2, "is not here", "--corpus-path"),
    (["--corpus-path", "other.txt"], 2, "the text here (sha256 ", "the very same file"),
    (["--corpus-path", "TEXT", "--epochs", "7"], 64, "training.epochs was 3, now it is 7", ""),
    (["--corpus-path", "TEXT", "--search", "model.layers=1,2"], 64, "model.layers was 1", ""),
    (["--corpus-path", "TEXT", "--set", "training.learning_rate=1"], 64, "searched and set", ""),
    (["--corpus-path", "TEXT", "--budgets", "stretch"], 64, "budget ", ""),
    (["--study", "none"], 64, "there is no search 'none' in postgresql://tx@server/tx", "begin it"),
]


@pytest.mark.parametrize(
    ("more", "code", "words", "remedy"),
    [*REFUSED[:3], *(pytest.param(*one, marks=pytest.mark.long) for one in REFUSED[3:])],
)
def test_a_search_of_another_text_or_of_other_settings_is_not_joined(
    joining: list[str], server, make_plan, follower, text_file: Path, tmp_path: Path,
    capsys: Shown, monkeypatch: pytest.MonkeyPatch,
    more: list[str], code: int, words: str, remedy: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("other.txt").write_text(text_file.read_text()[:-1] + "!\n")
    begin(server, "s", make_plan(), PULSE, follower)
    named = [str(text_file) if word == "TEXT" else word for word in more]
    assert run([*joining, *named]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert remedy in err
    assert "Traceback" not in err
    assert not (tmp_path / "joined" / "trials").exists()
