"""Checkpoints: round trip, damage, foreign files, and pickles that must never run."""

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.config import Settings
from tinytx.errors import CheckpointError
from tinytx.train import checkpoint
from tinytx.train.model import Transformer

MakeSettings = Callable[..., Settings]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
def model(settings: Settings) -> Transformer:
    made = Transformer(settings.model, settings.tokenizer.vocab_size)
    made.initialise(torch.Generator().manual_seed(0))
    return made


@pytest.fixture
def saved(model: Transformer, settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "model.pt"
    checkpoint.save(path, checkpoint.model_content(model, settings, {"train_text": "f00"}, epoch=3))
    return path


def test_a_model_comes_back_bit_for_bit_with_its_settings(
    saved: Path, model: Transformer, settings: Settings
) -> None:
    loaded, its_settings, content = checkpoint.load_model(saved)
    assert its_settings == settings
    assert content["epoch"] == 3
    assert content["hashes"] == {"train_text": "f00"}
    assert not loaded.training
    theirs = loaded.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name])


def test_saving_again_replaces_the_file_and_leaves_nothing_else(
    saved: Path, model: Transformer, settings: Settings
) -> None:
    checkpoint.save(saved, checkpoint.model_content(model, settings, {}, epoch=4))
    assert checkpoint.load(saved)["epoch"] == 4
    assert list(saved.parent.iterdir()) == [saved]


def test_what_is_saved_is_a_copy_that_later_training_does_not_change(
    model: Transformer, settings: Settings
) -> None:
    content = checkpoint.model_content(model, settings, {})
    before = content["model"]["norm.weight"].clone()
    with torch.no_grad():
        model.norm.weight.add_(1.0)
    assert torch.equal(content["model"]["norm.weight"], before)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cannot be loaded: it is damaged"):
        checkpoint.load(saved)


def test_a_bare_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"schema": 1, "model": Evil(marker)}, protocol=2))
    with pytest.raises(CheckpointError, match="holds objects other than weights"):
        checkpoint.load(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the payload works: only the loader kept it from running


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_inside_a_torch_file_is_refused_and_not_executed(
    tmp_path: Path, zipped: bool
) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "executed"
    content = {"schema": 1, "model": {}, "settings": Evil(marker)}
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="holds objects other than weights"):
        checkpoint.load_model(path)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"some notes\n", b"PK\x03\x04junk"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"notes\.pt cannot be loaded"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"schema": 2}, {"model": {}}, torch.ones(2)], ids=str
)
def test_a_torch_file_of_another_kind_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        checkpoint.load(tmp_path / "other.pt")


def test_a_missing_checkpoint_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt is missing") as caught:
        checkpoint.load(tmp_path / "none.pt")
    assert "tinytx train" in caught.value.remedy


def test_a_folder_in_the_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(saved: Path, value: float) -> None:
    content = checkpoint.load(saved)
    content["model"]["blocks.1.mlp.down.weight"][3, 2] = value
    checkpoint.save(saved, content)
    with pytest.raises(CheckpointError, match="weights that are not finite"):
        checkpoint.load_model(saved)


def test_infinities_of_both_signs_do_not_cancel(saved: Path) -> None:
    content = checkpoint.load(saved)
    content["model"]["norm.weight"][:2] = torch.tensor([float("inf"), float("-inf")])
    checkpoint.save(saved, content)
    with pytest.raises(CheckpointError, match="not finite"):
        checkpoint.load_model(saved)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "no model", "not tensors"])
def test_weights_that_do_not_fit_the_settings_are_refused(saved: Path, damage: str) -> None:
    content = checkpoint.load(saved)
    match damage:
        case "missing":
            del content["model"]["norm.weight"]
        case "extra":
            content["model"]["bias"] = torch.ones(1)
        case "shape":
            content["model"]["embedding.weight"] = torch.ones(7, 32)
        case "no model":
            del content["model"]
        case "not tensors":
            content["model"] = [1, 2, 3]
    checkpoint.save(saved, content)
    with pytest.raises(CheckpointError, match="does not hold the weights of its own settings"):
        checkpoint.load_model(saved)


@pytest.mark.parametrize(
    "recorded",
    [None, 3, {"model": {"layers": 0}}, {"modle": {}}, {"model": {"width": 33}}],
    ids=str,
)
def test_settings_that_are_missing_or_wrong_are_refused(saved: Path, recorded: object) -> None:
    content = checkpoint.load(saved)
    content["settings"] = recorded
    if recorded is None:
        del content["settings"]
    checkpoint.save(saved, content)
    with pytest.raises(CheckpointError, match="holds no usable settings"):
        checkpoint.load_model(saved)
