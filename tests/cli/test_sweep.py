"""``tinytx sweep`` from the command line: what it prints, its exit codes, what it refuses."""

import importlib.util
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinytx.cli.main import run
from tinytx.cli.sweep.asked import seconds
from tinytx.errors import UsageError

Shown = pytest.CaptureFixture[str]
FLAGS = [
    "--epochs", "6", "--batch-size", "8", "--learning-rate", "0.03",
    "--vocab-size", "300", "--max-seq-length", "16",
    "--set", "model.pair_rows=200", "--set", "model.width=32",
    "--set", "model.heads=2", "--set", "model.hidden=24",
    "--set", "training.precision=float32", "--set", "training.compile=off",
    "--set", "training.threads=1",
]  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    source = random.Random(2)
    words = ["river", "stone", "garden", "lantern", "quiet", "morning", "niña", "boat", "yellow"]
    lines = [" ".join(source.choices(words, k=7)).capitalize() + "." for _ in range(280)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.long
def test_a_sweep_prints_the_table_the_command_and_one_document(
    tmp_path: Path, text: Path, capsys: Shown
) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", "--corpus-path", str(text), "--output-dir", str(out), *FLAGS]
    arguments += ["--search", "model.layers=1,999", "--trials", "3", "--json"]
    assert run(arguments) == 0
    shown, err = capsys.readouterr()
    document = json.loads(shown)
    by_layers = {trial["params"]["model.layers"]: trial for trial in document["trials"]}
    assert by_layers[1]["outcome"] == "complete"
    assert by_layers[999]["outcome"] == "infeasible"
    assert document["pareto"] == [by_layers[1]["number"]]
    assert "Nothing tried is better" in err
    assert "every combination has been tried" in err
    assert "parameters are more than 2,450,000" in err
    assert f"in full: {document['command']}" in err
    kept = str(out / "trials" / f"{by_layers[1]['number']:04}")
    same = ["train", "--corpus-path", str(text), "--output-dir", kept, *FLAGS]
    assert run([*same, "--set", "model.layers=1", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == ["corpus", "tokenizer", "training"]


def test_when_no_trial_succeeds_it_ends_with_4_and_the_reason(
    tmp_path: Path, text: Path, capsys: Shown
) -> None:
    arguments = ["sweep", "--corpus-path", str(text), "--output-dir", str(tmp_path / "out"), *FLAGS]
    assert run([*arguments, "--search", "model.layers=998,999", "--quiet"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinytx: no trial succeeded; the last: ")


WRONG = [
    ([], "there is nothing to search"),
    (["--search", "model.layer=1,2"], "did you mean 'model.layers'"),
    (["--search", "model.layers=1,2", "--set", "model.layers=2"], "searched and set"),
    (["--search", "training.epochs=1,2", "--epochs", "2"], "searched and set"),
    (["--search", "model.layers=1,2", "--trials", "0"], "--trials"),
    (["--search", "model.layers=1,2", "--time-limit", "30"], "write 90s, 30m or 2h"),
    (["--search", "model.layers=1,2", "--budgets", "strech"], "did you mean 'stretch'"),
    (["--search", "model.layers=1,2", "--config", "none.toml"], "none.toml"),
    (["--search", "model.layers=1,2", "--epochs", "0"], "--epochs"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_makes_no_sense_ends_with_64_and_writes_nothing(
    tmp_path: Path, capsys: Shown, arguments: list[str], words: str
) -> None:
    assert run(["sweep", "--output-dir", str(tmp_path / "out"), *arguments]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_without_optuna_it_ends_with_1_and_the_command_that_installs_it(
    capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "optuna" else found(name)
    )
    assert run(["sweep", "--search", "model.layers=1,2"]) == 1
    said, remedy = capsys.readouterr().err.splitlines()
    assert said == "tinytx: `tinytx sweep` needs optuna, which is not installed"
    assert remedy.startswith("  -> ")
    assert remedy.endswith(" -m pip install 'optuna>=5'")


LAYERS = ["--search", "model.layers=1,2"]
SERVER = ["--storage", "postgresql://tx@127.0.0.1:1/db"]
WRONG_TOGETHER = [
    (["--join"], "--join belongs to a search in a database"),
    (["--worker", "pi", *LAYERS], "--worker belongs to a search in a database"),
    (["--storage-password-file", "f", *LAYERS], "--storage-password-file belongs to"),
    (["--storage", "mysql://tx:sesame@h/db", *LAYERS], "not mysql://"),
    (["--storage", "postgresql://tx:sesame@h/db", *LAYERS], "--storage holds a password"),
    (["--storage", "host=h password=sesame", *LAYERS], "takes an address like postgresql://"),
    ([*SERVER, "--storage-password-file", "none", *LAYERS], "No such file"),
    ([*SERVER, "--overwrite", *LAYERS], "--overwrite is not for a search in a database"),
    ([*SERVER, "--grace", "1s", *LAYERS], "--grace must be at least 6s"),
    ([*SERVER, "--grace", "soon", *LAYERS], "--grace 'soon' is no time"),
    ([*SERVER, "--join", "--trials", "3"], "--trials and --join"),
    ([*SERVER, "--join", "--preset", "quick"], "--preset and --join"),
    ([*SERVER], "there is nothing to search"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_TOGETHER)
def test_what_makes_no_sense_with_a_database_ends_with_64_and_tells_no_password(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    pretend_psycopg(monkeypatch)
    assert run(["sweep", "--output-dir", str(tmp_path / "out"), *arguments]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "sesame" not in err
    assert not (tmp_path / "out").exists()


def pretend_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be connected to: a machine without the driver tells the same."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found("json" if name == "psycopg" else name)
    )
    monkeypatch.setattr(
        "tinytx.sweep.shared.database.Postgres", lambda address: SimpleNamespace(address="there")
    )


def test_an_address_in_the_environment_may_hold_a_password_and_is_the_default(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_psycopg(monkeypatch)
    monkeypatch.setenv("TINYTX_STORAGE", "postgresql://tx:sesame@h/db")
    assert run(["sweep", *LAYERS, "--overwrite"]) == 64
    assert "--overwrite is not for a search in a database" in capsys.readouterr().err
    monkeypatch.setenv("TINYTX_STORAGE", "mysql://tx:sesame@h/db")
    assert run(["sweep", *LAYERS]) == 64
    err = capsys.readouterr().err
    assert err.startswith("tinytx: TINYTX_STORAGE takes an address like")
    assert "sesame" not in err


def test_without_the_driver_it_ends_with_1_and_the_command_that_installs_it(
    capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "psycopg" else found(name)
    )
    assert run(["sweep", *LAYERS, *SERVER]) == 1
    said, remedy = capsys.readouterr().err.splitlines()
    assert said == "tinytx: `tinytx sweep --storage` needs psycopg, which is not installed"
    assert remedy.endswith("'psycopg[binary]>=3.2'")


def test_a_server_that_is_not_there_ends_with_1_and_what_to_look_at(
    tmp_path: Path, capsys: Shown
) -> None:
    pytest.importorskip("psycopg", reason="the driver is in the extra sweep-shared")
    assert run(["sweep", *LAYERS, *SERVER, "--output-dir", str(tmp_path / "out")]) == 1
    said, remedy = capsys.readouterr().err.splitlines()
    assert said.startswith("tinytx: cannot use the database postgresql://tx@127.0.0.1:1/db: ")
    assert "Connection refused" in said
    assert "pg_isready" in remedy


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1_800), ("1.5h", 5_400)])
def test_a_time_has_a_unit(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "m", "-3m", "0s", "3d", "1e3s", "nan", "3 m"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        seconds(text)
