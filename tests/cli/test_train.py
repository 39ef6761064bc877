"""``tinytx train`` from the outside: bad input, flags, JSON."""

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinytx.cli.main import run
from tinytx.train import checkpoint, prerequisites

Shown = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))


@pytest.fixture
def out(tiny_run: Path, tmp_path: Path) -> Path:
    """The output directory of a finished run that may be changed, as the folder "out"."""
    shutil.copytree(tiny_run, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def same(tiny_run: Path) -> list[str]:
    """Flags that give the finished run's settings again; later flags win."""
    config = json.loads((tiny_run / "training_metrics.json").read_bytes())["config"]
    assignments = [
        f"--set={section}.{key}={json.dumps(value)}"
        for section, values in config.items()
        for key, value in values.items()
        if value is not None
    ]
    return ["train", "--quiet", *assignments]


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(
    arguments: list[str], code: int, words: list[str], shown: Shown, kept: Path
) -> None:
    """Exit code, one sentence (and perhaps what to do), and every file as it was."""
    before = snapshot(kept)
    assert before
    shown.readouterr()
    found = run(arguments)
    stdout, err = shown.readouterr()
    assert found == code, err
    assert stdout == ""
    for word in words:
        assert word in err
    assert "Traceback" not in err
    lines = err.splitlines()
    assert lines[0].startswith("tinytx: ")
    assert all(line.startswith(("  -> ", "Usage: ")) for line in lines[1:])
    assert len(lines) <= 2
    after = snapshot(kept)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if path.suffix == ".tmp"]


BAD_TEXTS: dict[str, tuple[bytes | None, list[str]]] = {
    "missing": (None, ["No such file", "bad.txt"]),
    "empty": (b"", ["bad.txt is empty"]),
    "blank": (b" \n\n\t\n" * 900, ["bad.txt is empty"]),
    "binary": (b"\x7fELF\0\1\2" * 900, ["bad.txt is not text", "offset 4"]),
    "latin-1": ("Años atrás, ".encode("latin-1") * 900, ["not UTF-8", "0xf1", "offset 1", "iconv"]),
    "utf-16": (("a text " * 900).encode("utf-16")[:-1], ["bad.txt has the mark of UTF-16", "cut"]),
    "short": (b"Only a few words.\n" * 20, ["too short to split", "360 bytes"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TEXTS)
@pytest.mark.parametrize("flag", ["--corpus-path", "--corpus-url"])
def test_a_corpus_that_cannot_be_used_ends_with_2(
    out: Path, same: list[str], tmp_path: Path, capsys: Shown, kind: str, flag: str
) -> None:
    content, words = BAD_TEXTS[kind]
    bad = tmp_path / "bad.txt"
    if content is not None:
        bad.write_bytes(content)
    arguments = [*same, "--output-dir", str(out)]
    if flag == "--corpus-url":  # and not both
        arguments = [a for a in arguments if not a.startswith("--set=corpus.path=")]
    arguments += [flag, bad.as_uri() if flag == "--corpus-url" else str(bad)]
    assert_refused(arguments, 2, words, capsys, out)


@pytest.mark.parametrize("kind", sorted(BAD_TEXTS.keys() - {"short"}))
def test_a_validation_text_that_cannot_be_used_ends_with_2(
    out: Path, same: list[str], tmp_path: Path, capsys: Shown, kind: str
) -> None:
    content, words = BAD_TEXTS[kind]
    bad = tmp_path / "bad.txt"
    if content is not None:
        bad.write_bytes(content)
    assert_refused([*same, "--output-dir", str(out), "--val-path", str(bad)], 2, words, capsys, out)


WRONG: list[tuple[list[str], int, list[str]]] = [
    (["--corpus-path", "/proc/self/fd"], 2, ["holds no text files", ".txt"]),
    (["--vocab-size", "20000", "--overwrite"], 3, ["20000 is larger than this text supports"]),
    (["--overwrite", "--resume"], 64, ["give one"]),
    (["--seed", "3"], 64, ["holds the model of another run: training.seed was 1", "--overwrite"]),
    (["--epochs", "0"], 64, ["--epochs", ">= 1"]),
    (["--epochs", "-3"], 64, ["--epochs", ">= 1"]),
    (["--epochs", "two"], 64, ["--epochs", "two"]),
    (["--epochs", "1.5"], 64, ["--epochs", "1.5"]),
    (["--batch-size", "0"], 64, ["--batch-size", ">= 1"]),
    (["--batch-size", "-8"], 64, ["--batch-size", ">= 1"]),
    (["--micro-batch", "-1"], 64, ["--micro-batch", ">= 0"]),
    (["--micro-batch", "7"], 64, ["training.batch_size", "multiple of training.micro_batch 7"]),
    (["--weight-decay", "-1"], 64, ["--weight-decay", ">= 0"]),
    (["--layers", "0"], 64, ["--layers", ">= 1"]),
    (["--preset", "fast"], 64, ["--preset", "fast", "quick", "low-memory"]),
    (["--learning-rate", "0"], 64, ["--learning-rate", "> 0"]),
    (["--learning-rate", "-0.1"], 64, ["--learning-rate", "> 0"]),
    (["--learning-rate", "nan"], 64, ["--learning-rate"]),
    (["--learning-rate", "inf"], 64, ["--learning-rate", "finite"]),
    (["--vocab-size", "0"], 64, ["--vocab-size", ">= 300"]),
    (["--vocab-size", "-5"], 64, ["--vocab-size", ">= 300"]),
    (["--vocab-size", "70000"], 64, ["--vocab-size", "<= 65535"]),
    (["--max-seq-length", "0"], 64, ["--max-seq-length", ">= 8"]),
    (["--max-seq-length", "-1"], 64, ["--max-seq-length", ">= 8"]),
    (["--seed", "-1"], 64, ["--seed", ">= 0"]),
    (["--corpus-url", "http://127.0.0.1/x"], 64, ["one corpus", "corpus.url"]),
    (["--corpus", "wikipedia"], 64, ["--corpus", "wikipedia"]),
    (["--corpus-sha256", "12"], 64, ["--corpus-sha256"]),
    (["--set", "training.epochs"], 64, ["training.epochs", "section.key=value"]),
    (["--set", "=3"], 64, ["section.key=value"]),
    (["--set", ""], 64, ["section.key=value"]),
    (["--set", "epochs=3"], 64, ["section.key=value"]),
    (["--set", "training.epoch=3"], 64, ["training.epoch'", "did you mean 'training.epochs'"]),
    (["--set", "trainning.epochs=3"], 64, ["trainning", "did you mean 'training'"]),
    (["--set", "training.epochs=many"], 64, ["training.epochs", "expected `int`"]),
    (["--set", "training.precision=int4"], 64, ["training.precision", "int4"]),
    (["--set", "model.heads=5"], 64, ["model.heads 5"]),
    (["--config", "/nowhere.toml"], 64, ["/nowhere.toml", "No such file"]),
    (["--config", "/tmp"], 64, ["--config /tmp"]),
    (["--resume", "--seed", "3"], 4, ["nothing to resume", "without --resume"]),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    WRONG,
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_wrong_flag_or_setting_is_refused_in_one_sentence(
    out: Path, same: list[str], capsys: Shown, arguments: list[str], code: int, words: list[str]
) -> None:
    assert_refused([*same, "--output-dir", str(out), *arguments], code, words, capsys, out)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nepochz = 3\n", ["my.toml", "training.epochz", "did you mean", "epochs"]),
        ("[modle]\nlayers = 3\n", ["my.toml", "modle", "did you mean 'model'"]),
        ("epochs = 3\n", ["my.toml", "epochs"]),
        ("training = 3\n", ["my.toml", "[training] must be a table"]),
        ("[training]\nepochs = 0\n", ["my.toml", "training.epochs", ">= 1"]),
        ('[training]\nepochs = "3"\n', ["my.toml", "training.epochs", "expected `int`"]),
        ("[training\n", ["my.toml", "not valid TOML"]),
        ("[training]\nlearning_rate = nan\n", ["my.toml", "training.learning_rate"]),
    ],
)
def test_a_config_file_with_a_mistake_is_refused_by_name(
    out: Path, same: list[str], tmp_path: Path, capsys: Shown, text: str, words: list[str]
) -> None:
    config = tmp_path / "my.toml"
    config.write_text(text)
    arguments = [*same, "--output-dir", str(out), "--config", str(config)]
    assert_refused(arguments, 64, words, capsys, out)


def test_a_config_file_that_is_no_text_is_refused(
    out: Path, same: list[str], tmp_path: Path, capsys: Shown
) -> None:
    (tmp_path / "my.toml").write_bytes(b"\xff\xfe\0")
    arguments = [*same, "--output-dir", str(out), "--config", str(tmp_path / "my.toml")]
    assert_refused(arguments, 64, ["my.toml is not UTF-8"], capsys, out)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_output_directory_that_is_a_file_ends_with_1(
    same: list[str], tmp_path: Path, capsys: Shown, below: str
) -> None:
    (tmp_path / "file").write_text("mine")
    arguments = [*same, "--output-dir", str(tmp_path / "file" / below)]
    assert_refused(arguments, 1, ["file is a file, not a directory"], capsys, tmp_path)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder into which nobody may write."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], check=False)
    if mounted.returncode:
        pytest.skip("root ignores permissions, and mounting a read-only file system is refused")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("below", ["", "new"])
def test_a_read_only_output_directory_ends_with_1(
    same: list[str], read_only: Path, tmp_path: Path, capsys: Shown, below: str
) -> None:
    (tmp_path / "kept").write_text("mine")
    arguments = [*same, "--output-dir", str(read_only / below)]
    assert_refused(arguments, 1, ["cannot write into", "-> choose another"], capsys, tmp_path)


@pytest.fixture
def unfinished(out: Path) -> Path:
    """An output directory whose training did not end; its last checkpoint is the test's."""
    (out / "stamps" / "training.json").unlink()
    return out


def test_resume_with_nothing_to_resume_ends_with_4(
    unfinished: Path, same: list[str], capsys: Shown
) -> None:
    arguments = [*same, "--output-dir", str(unfinished), "--resume"]
    words = ["nothing to resume", "-> run without --resume"]
    assert_refused(arguments, 4, words, capsys, unfinished)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_resume_from_a_truncated_checkpoint_ends_with_4(
    unfinished: Path, same: list[str], capsys: Shown, share: float
) -> None:
    whole = (unfinished / "final_model.pt").read_bytes()
    last = unfinished / "last_checkpoint.pt"
    last.write_bytes(whole[: int(len(whole) * share)])
    arguments = [*same, "--output-dir", str(unfinished), "--resume"]
    assert_refused(arguments, 4, ["last_checkpoint.pt cannot be loaded"], capsys, unfinished)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_resume_from_a_pickle_ends_with_4_and_does_not_execute_it(
    unfinished: Path, same: list[str], tmp_path: Path, capsys: Shown
) -> None:
    marker = tmp_path / "executed"
    evil = pickle.dumps({"schema": 1, "settings": Evil(marker)}, protocol=2)
    (unfinished / "last_checkpoint.pt").write_bytes(evil)
    arguments = [*same, "--output-dir", str(unfinished), "--resume"]
    assert_refused(arguments, 4, ["objects other than weights"], capsys, unfinished)
    assert not marker.exists()


def test_resume_from_a_model_in_the_place_of_a_run_ends_with_4(
    unfinished: Path, same: list[str], capsys: Shown
) -> None:
    shutil.copy(unfinished / "best_model.pt", unfinished / "last_checkpoint.pt")
    arguments = [*same, "--output-dir", str(unfinished), "--resume"]
    assert_refused(arguments, 4, ["holds no run to continue"], capsys, unfinished)


def test_resume_with_another_seed_names_the_difference(
    unfinished: Path, same: list[str], capsys: Shown
) -> None:
    names = ["optimizer", "random", "step", "loss_sum", "epoch_seconds", "best", "metrics", "pace"]
    state = {**checkpoint.load(unfinished / "best_model.pt"), **dict.fromkeys(names, 0)}
    checkpoint.save(unfinished / "last_checkpoint.pt", state)
    arguments = [*same, "--output-dir", str(unfinished), "--resume", "--seed", "5"]
    words = ["belongs to another run", "training.seed was 1, now it is 5"]
    assert_refused(arguments, 4, words, capsys, unfinished)


def test_a_lost_tokenizer_is_made_again_and_training_is_still_finished(
    out: Path, same: list[str], capsys: Shown
) -> None:
    kept = (out / "tokenizer.model").read_bytes()
    (out / "tokenizer.model").unlink()
    assert run([*same, "--output-dir", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == ["corpus", "training"]
    assert (out / "tokenizer.model").read_bytes() == kept


def test_json_is_one_document_on_stdout_and_everything_human_is_on_stderr(
    out: Path, same: list[str], capsys: Shown
) -> None:
    same.remove("--quiet")
    assert run([*same, "--output-dir", str(out), "--json"]) == 0
    stdout, err = capsys.readouterr()
    document = json.loads(stdout)
    assert document["skipped"] == ["corpus", "tokenizer", "training"]
    assert document["nats_per_token"] < document["unigram_nats_per_token"]
    assert document["metrics"]["run_id"]
    phases = ["prerequisites", "corpus", "tokenizer", "training", "validation"]
    for number, phase in enumerate(phases, 1):
        assert f"[{number}/5] {phase}" in err
    assert err.count("skipped: ") == 3


def test_the_summary_names_each_file_with_size_and_sha256_and_the_time_of_each_phase(
    out: Path, same: list[str], capsys: Shown
) -> None:
    same.remove("--quiet")
    assert run([*same, "--output-dir", str(out)]) == 0
    err = capsys.readouterr().err
    for name in ("tokenizer.model", "best_model.pt", "final_model.pt", "training_metrics.json"):
        content = (out / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        assert f"{out / name}  {len(content):,} bytes  sha256 {digest}..." in err
    assert re.search(r"phases: prerequisites [\d.]+ s, corpus .*, validation [\d.]+ s", err)
    assert "\x1b" not in err  # colours only on a terminal


def test_quiet_says_nothing_when_all_is_well(out: Path, same: list[str], capsys: Shown) -> None:
    assert run([*same, "--output-dir", str(out)]) == 0
    assert capsys.readouterr() == ("", "")


class Terminal:
    """A stdin that is a terminal on which somebody types an answer."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self.answer + "\n"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 130)])
def test_on_a_terminal_the_user_is_asked_before_a_model_is_replaced(
    out: Path,
    same: list[str],
    capsys: Shown,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    before = (out / "best_model.pt").read_bytes()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    asked: list[str] = []
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda q: asked.append(q) or answer)
    assert run([*same, "--output-dir", str(out), "--seed", "3", "--epochs", "1"]) == code
    assert "training.epochs was 2, now it is 1. Replace it? [y/N]" in asked[0]
    assert ("nothing was replaced" in capsys.readouterr().err) == (answer == "n")
    assert ((out / "best_model.pt").read_bytes() == before) == (answer == "n")


@pytest.mark.long
def test_a_text_whose_name_and_folder_are_no_utf8_goes_all_the_way(
    small_corpus: Path, tmp_path: Path, same: list[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"ni\xf1a")
    (folder / "texts").mkdir(parents=True)
    shutil.copy(small_corpus, folder / "texts" / os.fsdecode(b"caf\xe9.txt"))
    (folder / "texts" / os.fsdecode(b"\xf1.txt")).touch()
    (folder / "texts" / os.fsdecode(b"\xf1.csv")).write_text("1,2")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}

    def tinytx(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tinytx.cli.main", *arguments, "--json"]
        ended = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr.decode()
        document: dict[str, Any] = json.loads(ended.stdout)
        return document

    train = [*same, "--corpus-path", str(folder / "texts"), "--output-dir", str(folder / "out")]
    metrics = tinytx(*train)["metrics"]
    assert metrics["corpus"]["names"] == ["caf\\xe9.txt"]
    assert tinytx(*train)["skipped"] == ["corpus", "tokenizer", "training"]
    made = tinytx("export", "--output-dir", str(folder / "out"), "--precision", "float32")
    assert made["manifest"]["provenance"]["settings"]["corpus"]["path"] == "texts"
    assert tinytx("verify", str(folder / "out" / "bundle"))


def test_a_missing_text_whose_name_is_no_utf8_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / os.fsdecode(b"caf\xe9.txt"))
    arguments = ["train", "--corpus-path", missing, "--output-dir", str(tmp_path / "out")]
    assert run([*arguments, "--quiet"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("tinytx: cannot read the corpus: No such file or directory (")
    assert err.endswith("caf\\xe9.txt)\n")
