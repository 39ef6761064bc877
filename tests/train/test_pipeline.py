"""Stamps and skipped phases, what is refused, and what the metrics file says."""

import gzip
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from tinytx.config import Settings, load_settings
from tinytx.errors import CorpusError, TokenizerError, TrainingError
from tinytx.tokenizer import Tokenizer
from tinytx.train import prerequisites
from tinytx.train.job import Options
from tinytx.train.metrics import read_metrics
from tinytx.train.pipeline import Pipeline, TrainingResult
from tinytx.train.progress import Reporter
from tinytx.workspace import Workspace, sha256_file

MakeSettings = Callable[..., Settings]
PHASES = ["prerequisites", "corpus", "tokenizer", "training", "validation"]


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))


def run(
    settings: Settings, space: Workspace, reporter: Reporter, **options: bool
) -> TrainingResult:
    return Pipeline(settings, space, Options(overwrite=True, **options), reporter).run()


def until_tokenizer(settings: Settings, space: Workspace, **options: bool) -> list[str]:
    """The first three phases; which of them were skipped."""
    pipeline = Pipeline(settings, space, Options(overwrite=True, **options), Reporter())
    pipeline.prerequisites()
    pipeline.corpus()
    pipeline.tokenizer()
    return pipeline.skipped


def with_changes(settings: Settings, **changes: object) -> Settings:
    """Settings with section__key=value changed."""
    for name, value in changes.items():
        section, key = name.split("__")
        changed = msgspec.structs.replace(getattr(settings, section), **{key: value})
        settings = msgspec.structs.replace(settings, **{section: changed})
    return settings


def files_of(space: Workspace) -> dict[str, bytes]:
    """Every file but the stamps, with its bytes."""
    return {
        str(path.relative_to(space.root)): path.read_bytes()
        for path in space.root.rglob("*")
        if path.is_file() and path.parent.name != "stamps"
    }


def test_a_second_run_skips_corpus_tokenizer_and_training_and_writes_nothing(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    before = files_of(finished)
    torch.set_num_threads(3)
    result = run(finished_settings, finished, recorder)
    assert torch.get_num_threads() == 1  # validation keeps to the settings all the same
    assert recorder.phases == PHASES
    assert result.skipped == ["corpus", "tokenizer", "training"]
    assert recorder.steps == []
    assert files_of(finished) == before
    assert result.metrics == read_metrics(finished.metrics)
    assert sum("skipped" in note for note in recorder.notes) == 3


def test_another_vocabulary_reruns_the_tokenizer_and_not_the_corpus(
    finished: Workspace, finished_settings: Settings
) -> None:
    before = files_of(finished)
    changed = with_changes(finished_settings, tokenizer__vocab_size=310)
    assert until_tokenizer(changed, finished) == ["corpus"]
    assert Tokenizer.load(finished.tokenizer).vocab_size == 310
    after = files_of(finished)
    assert after["corpus/train.txt"] == before["corpus/train.txt"]
    assert after["tokens/train.bin"] != before["tokens/train.bin"]
    assert until_tokenizer(changed, finished) == ["corpus", "tokenizer"]


def test_another_learning_rate_reruns_training_alone(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    old = read_metrics(finished.metrics)
    changed = with_changes(finished_settings, training__learning_rate=8e-3, training__epochs=1)
    result = run(changed, finished, recorder)
    assert result.skipped == ["corpus", "tokenizer"]
    assert [e.epoch for e in result.metrics.epochs] == [1]
    assert result.metrics.run_id != old.run_id
    assert result.metrics.config["training"]["learning_rate"] == 8e-3


@pytest.mark.parametrize("name", ["train_text", "val_text"])
def test_a_tampered_corpus_is_made_again(
    finished: Workspace, finished_settings: Settings, name: str
) -> None:
    before = files_of(finished)
    path: Path = getattr(finished, name)
    path.write_bytes(path.read_bytes().replace(b"river", b"rover"))
    assert "corpus" not in until_tokenizer(finished_settings, finished)
    assert files_of(finished) == before  # the very same bytes again


def test_a_tampered_tokenizer_is_made_again(
    finished: Workspace, finished_settings: Settings
) -> None:
    before = files_of(finished)
    finished.tokenizer.write_bytes(finished.tokenizer.read_bytes() + b"\0")
    assert until_tokenizer(finished_settings, finished) == ["corpus"]
    assert files_of(finished) == before


@pytest.mark.parametrize("damage", [b"", b"\1\0" * 50])
def test_tampered_tokens_are_made_again(
    finished: Workspace, finished_settings: Settings, damage: bytes
) -> None:
    before = files_of(finished)
    finished.train_tokens.write_bytes(damage)
    assert until_tokenizer(finished_settings, finished) == ["corpus", "tokenizer"]
    assert files_of(finished) == before


def test_a_corpus_file_that_changed_is_read_again(
    finished: Workspace, finished_settings: Settings, small_corpus: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_bytes(small_corpus.read_bytes())
    settings = with_changes(finished_settings, corpus__path=str(mine))
    assert until_tokenizer(settings, finished) == ["tokenizer"]  # the same text elsewhere
    assert until_tokenizer(settings, finished) == ["corpus", "tokenizer"]
    mine.write_text(mine.read_text(encoding="utf-8") + "One more line.\n", encoding="utf-8")
    assert until_tokenizer(settings, finished) == []


@pytest.mark.parametrize("name", ["best_model", "final_model", "metrics"])
def test_a_tampered_result_of_training_does_not_count_as_finished(
    finished: Workspace, finished_settings: Settings, name: str
) -> None:
    path = getattr(finished, name)
    path.write_bytes(path.read_bytes()[:-1])
    pipeline = Pipeline(finished_settings, finished, Options(resume=True), Reporter())
    with pytest.raises(TrainingError, match="nothing to resume"):  # it went on to train
        pipeline.training(None)


@pytest.mark.parametrize("stamp", [b"", b"{}", b"[]", b"null", b"\xff", b'{"schema": 1}'])
def test_a_damaged_stamp_only_means_that_the_stage_runs_again(
    finished: Workspace, finished_settings: Settings, stamp: bytes
) -> None:
    finished.stamp("corpus").path.write_bytes(stamp)
    assert until_tokenizer(finished_settings, finished) == ["tokenizer"]


def test_temporary_files_of_a_killed_run_are_removed(
    finished: Workspace, finished_settings: Settings
) -> None:
    before = files_of(finished)
    (finished.root / ".best_model.pt.x1.tmp").write_bytes(b"half")
    (finished.root / "tokens" / ".train.bin.x2.tmp").write_bytes(b"half")
    until_tokenizer(finished_settings, finished)
    assert files_of(finished) == before


def test_skip_corpus_uses_the_text_that_is_there_whatever_the_settings_say(
    finished: Workspace, finished_settings: Settings
) -> None:
    finished.train_text.write_text("my own words, again and again\n" * 900)
    settings = with_changes(finished_settings, corpus__path="/nowhere", tokenizer__vocab_size=300)
    finished.train_text.write_text(
        "\n".join(f"my own words {i} {i * i} river stone garden" for i in range(800))
    )
    text = finished.train_text.read_bytes()
    assert until_tokenizer(settings, finished, skip_corpus=True) == ["corpus"]
    assert finished.train_text.read_bytes() == text
    tokens = settings, finished
    assert until_tokenizer(*tokens, skip_corpus=True) == ["corpus", "tokenizer"]


@pytest.mark.parametrize("name", ["train_text", "val_text"])
def test_skip_corpus_without_a_corpus_is_a_corpus_error(
    finished: Workspace, finished_settings: Settings, name: str
) -> None:
    getattr(finished, name).unlink()
    with pytest.raises(CorpusError, match="--skip-corpus, but there is no") as caught:
        until_tokenizer(finished_settings, finished, skip_corpus=True)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a\0b", "zero byte"),
        (b"caf\xe9", "not UTF-8: byte 0xe9 at offset 3"),
        ("a text".encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
        (gzip.compress(b"a text", mtime=0), "not UTF-8: byte 0x8b at offset 1"),
    ],
)
@pytest.mark.parametrize("name", ["train_text", "val_text"])
def test_skip_corpus_with_a_corpus_that_is_no_text_is_a_corpus_error(
    finished: Workspace, finished_settings: Settings, name: str, content: bytes, words: str
) -> None:
    getattr(finished, name).write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        until_tokenizer(finished_settings, finished, skip_corpus=True)


def test_skip_tokenizer_uses_the_tokenizer_that_is_there(
    finished: Workspace, finished_settings: Settings, tokenizer: Tokenizer
) -> None:
    model = tokenizer._processor.serialized_model_proto()
    finished.tokenizer.write_bytes(model)
    skipped = until_tokenizer(finished_settings, finished, skip_tokenizer=True)
    assert skipped == ["corpus", "tokenizer"]
    assert finished.tokenizer.read_bytes() == model
    first = tokenizer.encode(finished.train_text.read_text(encoding="utf-8"))[:20]
    tokens = finished.train_tokens.read_bytes()
    assert list(memoryview(tokens).cast("H"))[1:21] == first  # tokenised again, with that one


def test_skip_tokenizer_without_a_tokenizer_is_a_tokenizer_error(
    finished: Workspace, finished_settings: Settings
) -> None:
    finished.tokenizer.unlink()
    with pytest.raises(TokenizerError, match=r"cannot read .*tokenizer\.model") as caught:
        until_tokenizer(finished_settings, finished, skip_tokenizer=True)
    assert caught.value.exit_code == 3


def test_skip_tokenizer_of_another_size_names_the_flag_that_would_fit(
    finished: Workspace, finished_settings: Settings
) -> None:
    settings = with_changes(finished_settings, tokenizer__vocab_size=1_000)
    with pytest.raises(TokenizerError, match="has 320 pieces, not 1000") as caught:
        until_tokenizer(settings, finished, skip_tokenizer=True)
    assert caught.value.remedy == "add --vocab-size 320"


def test_a_text_shorter_than_one_window_is_a_corpus_error(
    finished: Workspace, finished_settings: Settings, recorder: Any
) -> None:
    settings = with_changes(finished_settings, model__max_seq_length=4_096)
    finished.train_text.write_text(finished.val_text.read_text(encoding="utf-8")[:3_000])
    with pytest.raises(CorpusError, match="at least 4096 are needed"):
        run(settings, finished, recorder, skip_corpus=True, skip_tokenizer=True)


def test_the_built_in_corpus_records_its_own_information(
    make_settings: MakeSettings, tmp_path: Path, recorder: Any
) -> None:
    settings = make_settings(corpus__train_bytes=60_000, corpus__val_bytes=9_000)
    pipeline = Pipeline(settings, Workspace(tmp_path), Options(), recorder)
    pipeline.corpus()
    facts = json.loads(pipeline.workspace.corpus_facts.read_bytes())
    assert facts["source"] == "the built-in stories"
    assert facts["train_bytes"] == pipeline.workspace.train_text.stat().st_size >= 60_000
    assert facts["val_bytes"] == pipeline.workspace.val_text.stat().st_size >= 9_000
    floor = facts["val_information_bits"] / facts["val_bytes"]
    (told,) = (note for note in recorder.notes if "own information" in note)
    assert re.search(r"([\d.]+) bits per byte", told)[1] == f"{floor:.4f}"  # type: ignore[index]


def test_the_metrics_file_says_all_that_the_design_promises(
    tiny_run: Path, small_corpus: Path
) -> None:
    space = Workspace(tiny_run)
    document = json.loads(space.metrics.read_bytes())
    for name in (
        "schema", "run_id", "started_at", "finished_at", "config", "machine", "corpus",
        "tokenizer", "epochs", "best_epoch", "budgets", "peak_memory_bytes",
    ):  # fmt: skip
        assert document[name] is not None, name
    assert document["schema"] == 1
    assert str(uuid.UUID(document["run_id"])) == document["run_id"]
    started = datetime.fromisoformat(document["started_at"])
    finished = datetime.fromisoformat(document["finished_at"])
    assert started.utcoffset() == finished.utcoffset() == timedelta(0)
    assert started <= finished <= datetime.now(UTC) + timedelta(seconds=1)
    assert finished - started < timedelta(hours=1)
    config = load_settings(flags={"corpus.path": str(small_corpus)})
    assert document["config"].keys() == msgspec.to_builtins(config).keys()
    for section, values in msgspec.to_builtins(config).items():
        assert document["config"][section].keys() == values.keys()
    assert document["corpus"]["train_sha256"] == sha256_file(space.train_text)
    assert document["corpus"]["val_sha256"] == sha256_file(space.val_text)
    assert document["corpus"]["train_bytes"] == space.train_text.stat().st_size
    assert document["corpus"]["val_bytes"] == space.val_text.stat().st_size
    assert document["tokenizer"]["sha256"] == sha256_file(space.tokenizer)
    assert document["tokenizer"]["vocab_size"] == 320
    assert document["tokenizer"]["train_tokens"] == space.train_tokens.stat().st_size // 2 - 1
    assert document["machine"]["precision"] == "float32"
    assert document["machine"]["threads"] == 1
    assert [row["name"] for row in document["budgets"]] == ["training_20_epochs"]
    epochs = document["epochs"]
    assert len(epochs) == document["config"]["training"]["epochs"] == 2
    assert document["best_epoch"] in (1, 2)
    seconds = sum(epoch["seconds"] for epoch in epochs) + document["setup_seconds"]
    assert seconds <= (finished - started).total_seconds() + document["setup_seconds"] + 2
    for number, epoch in enumerate(epochs, 1):
        assert epoch["epoch"] == number
        assert 0.3 < epoch["train_loss"] < 6
        assert 0.3 < epoch["val_loss"] < 6
        assert 0.1 < epoch["val_bits_per_byte"] < 8
        assert 0 < epoch["learning_rate"] <= document["config"]["training"]["learning_rate"]
        assert epoch["seconds"] > 0
        tokens = epoch["tokens_per_second"] * epoch["seconds"]
        assert tokens >= 0.9 * document["tokenizer"]["train_tokens"]  # seconds has validation too


@pytest.mark.parametrize("epochs", [2, 3])
def test_as_many_epochs_are_recorded_as_were_asked_for(
    finished: Workspace, finished_settings: Settings, recorder: Any, epochs: int
) -> None:
    finished.train_text.write_text(finished.train_text.read_text(encoding="utf-8")[:60_000])
    settings = with_changes(finished_settings, training__epochs=epochs)
    result = run(settings, finished, recorder, skip_corpus=True, skip_tokenizer=True)
    assert [e.epoch for e in result.metrics.epochs] == list(range(1, epochs + 1))
    assert read_metrics(finished.metrics) == result.metrics
    assert not finished.last_checkpoint.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"run_id": 3}', b"\xff"])
def test_a_damaged_metrics_file_is_a_training_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(TrainingError, match=r"m\.json is damaged"):
        read_metrics(tmp_path / "m.json")
