"""From a checkpoint to a bundle: skipped, made again, or refused; and true to the last figure."""

import hashlib
import json
import math
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import sentencepiece
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.conftest import TINY, small_text
from tinytx.bundle import Bundle, Manifest
from tinytx.cli.main import run
from tinytx.errors import ExportError
from tinytx.export import exporter
from tinytx.runtime.golden import verify
from tinytx.train import job
from tinytx.workspace import Workspace

Snapshot = Callable[[Workspace], dict[str, str]]
export = partial(exporter.export, precision="float32")  # as tests/conftest.py exports


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(space: Workspace, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the checkpoint's content and save it as it was saved."""
    content = torch.load(space.best_model, weights_only=True)
    change(content)
    torch.save(content, space.best_model)


def refused(space: Workspace, words: str) -> None:
    """Export fails, with these words, before it touches the bundle that was there."""
    before = {p.name: sha256(p) for p in space.bundle.iterdir()}
    with pytest.raises(ExportError, match=words) as caught:
        export(space)
    assert caught.value.exit_code == 6
    assert "\n" not in caught.value.message
    assert {p.name: sha256(p) for p in space.bundle.iterdir()} == before


def test_a_second_export_is_skipped_and_changes_nothing(
    space: Workspace, snapshot: Snapshot
) -> None:
    before = snapshot(space)
    result = export(space)
    assert result.skipped
    assert result.manifest == Bundle(space.bundle).manifest
    assert snapshot(space) == before


def test_an_export_made_again_elsewhere_is_the_same_bundle_to_the_bit(
    tiny_run: Path, unexported: Workspace
) -> None:
    result = export(unexported)
    assert not result.skipped
    for path in (tiny_run / "bundle").iterdir():
        assert (unexported.bundle / path.name).read_bytes() == path.read_bytes()
    assert export(unexported).skipped


def lengthen(space: Workspace) -> None:
    with (space.bundle / "model.onnx").open("ab") as file:
        file.write(b"x")


def lose(space: Workspace) -> None:
    (space.bundle / "golden.json").unlink()


def add(space: Workspace) -> None:
    (space.bundle / "extra").touch()


def link(space: Workspace) -> None:
    target = space.bundle / "golden.json"
    target.rename(space.root / "golden.json")
    target.symlink_to(space.root / "golden.json")


def remove(space: Workspace) -> None:
    shutil.rmtree(space.bundle)


def garble_stamp(space: Workspace) -> None:
    space.stamp("export").path.write_text("{")


@pytest.mark.parametrize("tamper", [lengthen, lose, add, link, remove, garble_stamp])
def test_a_bundle_that_was_tampered_with_is_made_again(
    space: Workspace, tamper: Callable[[Workspace], None]
) -> None:
    bundle_id = Bundle(space.bundle).id
    tamper(space)
    assert not export(space).skipped
    assert verify(space.bundle).bundle.id == bundle_id
    assert export(space).skipped


def test_a_changed_checkpoint_is_exported_again_with_another_id(space: Workspace) -> None:
    old = Bundle(space.bundle)
    rewrite(space, lambda content: content["model"]["norm.weight"].mul_(1.1))
    result = export(space)
    assert not result.skipped
    assert result.manifest.id != old.id
    assert result.manifest.provenance.checkpoint_sha256 == sha256(space.best_model)
    assert verify(space.bundle).bundle.id == result.manifest.id
    assert result.manifest.quality != old.manifest.quality


@pytest.mark.parametrize(
    "name",
    ["best_model", "tokenizer", "metrics", "train_text", "val_text", "val_tokens"],
)
def test_a_missing_file_is_named_with_what_to_do(space: Workspace, name: str) -> None:
    path: Path = getattr(space, name)
    path.unlink()
    with pytest.raises(ExportError, match="is missing") as caught:
        export(space)
    assert str(path) in caught.value.message
    assert "tinytx train" in caught.value.remedy
    path.mkdir()
    refused(space, "is missing")


def test_a_checkpoint_cut_short_anywhere_is_refused(space: Workspace) -> None:
    whole = space.best_model.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.9, 0.9999):
        space.best_model.write_bytes(whole[: int(share * len(whole))])
        refused(space, r"best_model\.pt cannot be loaded")


class Payload:
    """What a hostile checkpoint would run when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["pickle", "zip", "old zip", "beside weights", "settings"])
def test_a_pickle_in_the_place_of_a_checkpoint_is_refused_and_never_runs(
    space: Workspace, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    payload: Any = Payload(marker)
    if form == "pickle":
        space.best_model.write_bytes(pickle.dumps(payload))
    elif form == "beside weights":
        rewrite(space, lambda content: content.update(extra=payload))
    elif form == "settings":
        rewrite(space, lambda content: content.update(settings={"model": payload}))
    else:
        torch.save(payload, space.best_model, _use_new_zipfile_serialization=form == "zip")
    refused(space, "is damaged, or holds objects other than weights")
    assert run(["export", "--output-dir", str(space.root)]) == 6
    err = capsys.readouterr().err
    assert err.startswith("tinytx: cannot export: ")
    assert len(err.splitlines()) == 1
    assert not marker.exists()
    pickle.loads(pickle.dumps(payload))
    assert marker.exists()  # the payload does work where it is let


def drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


def put(value: object, *keys: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(2, "schema"), "not a checkpoint of this version"),
        (drop("model"), "does not hold the weights"),
        (drop("settings"), "no usable settings"),
        (drop("hashes"), "is not the one that best_model.pt was trained with"),
        (put(7, "hashes"), "is not the one that best_model.pt was trained with"),
        (drop("run_id"), "come from different runs"),
        (put("someone else's", "run_id"), "come from different runs"),
        (drop("model", "norm.weight"), "does not hold the weights"),
        (put(torch.ones(33), "model", "norm.weight"), "does not hold the weights"),
        (put(3, "model", "norm.weight"), "does not hold the weights"),
        (put([], "model"), "does not hold the weights"),
        (put(torch.full((32,), math.nan), "model", "norm.weight"), "not finite"),
        (put(torch.full((32,), math.inf), "model", "norm.weight"), "not finite"),
        (put(3, "settings", "model", "heads"), "multiple of 16"),
        (put(8, "settings", "model", "heads"), "multiple of 16"),
        (put(3, "settings", "model", "layers"), "does not hold the weights"),
        (put(1, "settings", "model", "depth"), "no usable settings"),
        (put(-1, "settings", "training", "epochs"), "no usable settings"),
    ],
)
def test_a_checkpoint_with_a_foreign_part_is_refused(
    space: Workspace, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    rewrite(space, change)
    refused(space, words)


@pytest.mark.parametrize("content", [[1, 2], "text", {"a": torch.ones(3)}, torch.ones(3)])
def test_a_file_of_torch_that_is_no_checkpoint_is_refused(
    space: Workspace, content: object
) -> None:
    torch.save(content, space.best_model)
    refused(space, "is not a checkpoint of this version")


@pytest.mark.parametrize("name", ["train_text", "val_text"])
def test_a_corpus_that_the_checkpoint_was_not_trained_with_is_refused(
    space: Workspace, name: str
) -> None:
    path: Path = getattr(space, name)
    path.write_bytes(path.read_bytes().replace(b"river", b"rover"))
    refused(space, f"the {name.replace('_', ' ')} in .* was trained with")


def test_a_tokenizer_that_the_checkpoint_was_not_trained_with_is_refused(
    space: Workspace, tmp_path: Path
) -> None:
    sentencepiece.SentencePieceTrainer.Train(
        input=str(space.val_text),
        model_prefix=str(tmp_path / "other"),
        vocab_size=310,
        byte_fallback=True,
        user_defined_symbols=["\n"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=3,
    )
    shutil.copy(tmp_path / "other.model", space.tokenizer)
    refused(space, "the tokenizer in .* was trained with")
    space.tokenizer.write_bytes(b"garbage")
    refused(space, "is not a SentencePiece model")


@pytest.mark.parametrize(
    "tokens", [b"", b"\1", b"\1\0", b"\1\0" * 500, b"\xff\xff" * 500], ids=lambda t: repr(t[:2])
)
def test_tokens_that_are_not_those_of_the_text_cannot_flatter_the_quality(
    space: Workspace, tokens: bytes
) -> None:
    space.val_tokens.write_bytes(tokens)
    refused(space, r"val\.bin does not hold the tokens of .*val\.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is damaged"), ("{}", "is damaged"), ("[" * 10_000, "is damaged"), ("\0", "is damaged")],
)
def test_damaged_metrics_are_refused(space: Workspace, content: str, words: str) -> None:
    space.metrics.write_text(content)
    refused(space, f"training_metrics.json {words}")


def test_metrics_of_another_run_or_without_a_number_of_epochs_are_refused(
    space: Workspace,
) -> None:
    document = json.loads(space.metrics.read_text())
    space.metrics.write_text(json.dumps({**document, "run_id": "another"}))
    refused(space, "come from different runs")
    space.metrics.write_text(json.dumps({**document, "config": {}}))
    refused(space, "no number of epochs")


def test_where_the_bundle_cannot_be_written_there_is_one_sentence(unexported: Workspace) -> None:
    moved = unexported.root.with_name("moved")
    unexported.root.rename(moved)
    space = Workspace(moved)
    (moved / "stamps").rename(moved / "kept")
    (moved / "stamps").touch()  # a file where the folder of the stamps should be
    with pytest.raises(ExportError, match="cannot write the bundle: "):
        export(space)


@pytest.mark.long
def test_the_same_run_from_a_text_in_another_folder_is_the_same_bundle(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job.uuid, "uuid4", lambda: "00000000-0000-4000-8000-000000000000")
    made: list[Manifest] = []
    for folder in (tmp_path / "one", tmp_path / "home" / "another one"):
        folder.mkdir(parents=True)
        corpus = shutil.copy(small_corpus, folder / "book.txt")
        val = folder / "val.txt"
        val.write_text(small_text(300, seed=8), encoding="utf-8")
        paths = ["--corpus-path", str(corpus), "--val-path", str(val)]
        assert run(["train", *paths, "--output-dir", str(folder / "out"), *TINY]) == 0
        if made:  # its own times are those of another minute
            shutil.copy(tmp_path / "one/out/training_metrics.json", folder / "out")
        made.append(export(Workspace(folder / "out")).manifest)
    assert made[0].id == made[1].id
    assert made[0].provenance.settings["corpus"]["path"] == "book.txt"
    assert made[0].provenance.settings["corpus"]["val_path"] == "val.txt"


def test_five_thousand_files_are_a_few_names_a_number_and_a_hash(unexported: Workspace) -> None:
    paths = [f"/home/someone/texts/{i:05}-of-a-long-series-of-books.txt" for i in range(5_000)]
    rewrite(unexported, put(paths, "settings", "corpus", "path"))
    metrics = json.loads(unexported.metrics.read_text())
    metrics["corpus"] |= {"files": 5_000, "names": ["a.txt"] * 20, "files_sha256": "0" * 64}
    unexported.metrics.write_text(json.dumps(metrics))
    manifest = export(unexported).manifest
    told = str(manifest.provenance.settings["corpus"]["path"])
    assert told.startswith("00000-of-a-long-series-of-books.txt, 00001-")
    assert told.endswith("00019-of-a-long-series-of-books.txt and 4,980 more")
    assert manifest.provenance.corpus is not None
    assert manifest.provenance.corpus.files == 5_000
    assert (unexported.bundle / "manifest.json").stat().st_size < 20_000
    verify(unexported.bundle)


def test_metrics_without_a_record_of_files_give_a_bundle_without_one(
    unexported: Workspace,
) -> None:
    metrics = json.loads(unexported.metrics.read_text())
    for key in ("files", "names", "files_sha256"):
        del metrics["corpus"][key]
    del metrics["tokenizer"]["made_with"]
    unexported.metrics.write_text(json.dumps(metrics))
    provenance = export(unexported).manifest.provenance
    assert provenance.corpus is None
    assert "sentencepiece" not in provenance.versions
    verify(unexported.bundle)


# ---- what the manifest says, found out in another way


def test_no_file_of_a_bundle_tells_where_it_was_made(tiny_run: Path, small_corpus: Path) -> None:
    """Neither folders nor the user; the checkpoint tells it no more."""
    files = [*(tiny_run / "bundle").iterdir(), tiny_run / "best_model.pt"]
    secrets = {str(small_corpus.parent), str(tiny_run), str(Path.home()), str(Path.cwd())}
    secrets = {secret for secret in secrets if len(secret) > 1}
    assert secrets
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path


def test_the_manifest_holds_the_files_of_the_corpus_by_name_and_hash(
    small_corpus: Path, manifest: dict[str, Any]
) -> None:
    assert manifest["provenance"]["settings"]["corpus"]["path"] == small_corpus.name
    hashes = f"{sha256(small_corpus)}\n"
    assert manifest["provenance"]["corpus"] == {
        "files": 1,
        "names": [small_corpus.name],
        "files_sha256": hashlib.sha256(hashes.encode()).hexdigest(),
    }


def test_the_manifest_tells_the_version_of_sentencepiece_that_made_the_tokenizer(
    manifest: dict[str, Any],
) -> None:
    assert manifest["provenance"]["versions"]["sentencepiece"] == version("sentencepiece")


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tiny_bundle / "manifest.json").read_text())
    return document


def test_the_hashes_of_the_manifest_are_those_of_the_files(
    tiny_run: Path, manifest: dict[str, Any]
) -> None:
    for name, facts in manifest["files"].items():
        path = tiny_run / "bundle" / name
        assert facts == {"sha256": sha256(path), "size": path.stat().st_size}
    provenance = manifest["provenance"]
    assert provenance["checkpoint_sha256"] == sha256(tiny_run / "best_model.pt")
    assert provenance["tokenizer_sha256"] == sha256(tiny_run / "tokenizer.model")
    assert provenance["train_sha256"] == sha256(tiny_run / "corpus" / "train.txt")
    assert provenance["val_sha256"] == sha256(tiny_run / "corpus" / "val.txt")
    assert sha256(tiny_run / "bundle" / "tokenizer.model") == provenance["tokenizer_sha256"]


def test_the_facts_of_the_manifest_are_those_of_a_hand_count(
    tiny_run: Path, manifest: dict[str, Any]
) -> None:
    width, hidden, layers, vocab = 32, 48, 2, 320
    block = 3 * width * width + width * width + 3 * width * hidden + 2 * width
    by_hand = ((1 + layers) * vocab + 500) * width + layers * block + width
    assert manifest["model"] == {
        "layers": layers,
        "width": width,
        "heads": 2,
        "head_size": 16,
        "hidden": hidden,
        "max_seq_length": 48,
        "vocab_size": vocab,
        "rope_base": 10_000.0,
        "pair_rows": 500,
        "parameters": by_hand,
        "precision": "float32",
    }
    metrics = json.loads((tiny_run / "training_metrics.json").read_text())
    assert metrics["parameters"] == by_hand
    assert manifest["provenance"]["run_id"] == metrics["run_id"]
    assert manifest["training"]["epochs"] == 2
    assert manifest["training"]["complete"] is True
    seconds = [epoch["seconds"] for epoch in metrics["epochs"]]
    assert manifest["training"]["epoch_seconds"] == seconds
    assert manifest["quality"]["bytes"] == (tiny_run / "corpus" / "val.txt").stat().st_size
    assert manifest["quality"]["corpus_bits_per_byte"] is None


def numpy_logits(graph: Path, facts: dict[str, Any], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """The transformer once more, in float64 numpy, from the weights inside the ONNX file.

    ids [B, T] to logits [B, T, V]; every formula written out anew.
    """
    tensors = onnx.load(graph).graph.initializer
    w = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in tensors}
    heads, size = facts["heads"], facts["head_size"]
    batch, length = ids.shape

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"]

    def turn(x: NDArray[np.float64]) -> NDArray[np.float64]:  # [B, H, T, S] as complex numbers
        half = size // 2
        frequency = facts["rope_base"] ** (-np.arange(half) / half)
        angle = np.arange(length)[:, None] * frequency
        z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
        return np.concatenate((z.real, z.imag), axis=-1)

    entries = np.split(w["tables"][ids], facts["layers"], axis=-1)
    before = np.concatenate((np.zeros((batch, 1), int), ids[:, :-1]), axis=1)
    x = w["pair_table"][(1_000_003 * before + 7_919 * ids) % facts["pair_rows"]]
    future = np.triu(np.ones((length, length), bool), 1)
    for i in range(facts["layers"]):
        p = f"blocks.{i}"
        x = x + entries[i]
        qkv = norm(x, f"{p}.attention_norm") @ w[f"{p}.attention.qkv.weight"]
        q, k, v = (
            part.reshape(batch, length, heads, size).swapaxes(1, 2)
            for part in np.split(qkv, 3, axis=-1)
        )
        scores = np.einsum("bhqs,bhks->bhqk", turn(q), turn(k))  # scaled: q's weights
        scores[..., future] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = np.einsum("bhqk,bhks->bqhs", share, v).reshape(batch, length, heads * size)
        x = x + mixed @ w[f"{p}.attention.out.weight"]
        within = norm(x, f"{p}.mlp_norm")
        gate, up = (within @ w[f"{p}.mlp.{part}.weight"] for part in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{p}.mlp.down.weight"]
    return norm(x, "norm") @ w["head.weight"].T


def test_the_bits_per_byte_are_those_that_numpy_finds_in_the_graph(
    tiny_run: Path, manifest: dict[str, Any]
) -> None:
    """Windows of the context's length that do not overlap; each token predicted once."""
    text = (tiny_run / "corpus" / "val.txt").read_bytes()
    processor = sentencepiece.SentencePieceProcessor()
    processor.Load(str(tiny_run / "bundle" / "tokenizer.model"))
    ids = [processor.PieceToId("\n"), *processor.EncodeAsIds(text.decode())]
    length, nats = manifest["model"]["max_seq_length"], 0.0
    for start in range(0, len(ids) - 1, length):
        window = np.array([ids[start : start + length + 1]])
        logits = numpy_logits(
            tiny_run / "bundle" / "model.onnx", manifest["model"], window[:, :-1]
        )[0]
        peak = logits.max(-1, keepdims=True)
        log_p = logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))
        nats -= log_p[np.arange(len(logits)), window[0, 1:]].sum()
    bits_per_byte = nats / math.log(2) / len(text)
    assert manifest["quality"]["bits_per_byte"] == pytest.approx(bits_per_byte, rel=1e-5)
    assert 0.1 < bits_per_byte < 8
