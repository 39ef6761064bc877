"""Phase 5: what training wrote is loaded back, and judged."""

import json

import pytest
import torch

from tinytx.errors import ValidationError
from tinytx.train import checkpoint
from tinytx.train.validate import validate
from tinytx.workspace import Workspace


def test_a_finished_run_is_valid_and_its_sample_is_always_the_same(finished: Workspace) -> None:
    first, second = validate(finished, 8), validate(finished, 3)
    metrics = json.loads(finished.metrics.read_bytes())
    best = metrics["epochs"][metrics["best_epoch"] - 1]
    assert first.score.nats_per_token == pytest.approx(best["val_loss"], rel=1e-4)
    assert first.score.bits_per_byte == pytest.approx(best["val_bits_per_byte"], rel=1e-4)
    assert first.score.nats_per_token < first.unigram_nats_per_token
    assert len(first.sample) > 20
    assert first.sample == second.sample


@pytest.mark.parametrize("name", ["best_model", "final_model", "tokenizer", "train_tokens"])
def test_a_missing_artifact_is_named(finished: Workspace, name: str) -> None:
    path = getattr(finished, name)
    path.unlink()
    with pytest.raises(ValidationError, match=path.name):
        validate(finished, 8)


@pytest.mark.parametrize("name", ["best_model", "final_model", "tokenizer"])
def test_a_damaged_artifact_is_named(finished: Workspace, name: str) -> None:
    path = getattr(finished, name)
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(ValidationError, match=path.name):
        validate(finished, 8)


def test_a_model_with_weights_that_are_not_numbers_is_invalid(finished: Workspace) -> None:
    content = checkpoint.load(finished.best_model)
    content["model"]["norm.weight"][0] = torch.nan
    checkpoint.save(finished.best_model, content)
    with pytest.raises(ValidationError, match="not finite"):
        validate(finished, 8)


def test_a_model_that_is_no_better_than_counting_tokens_is_invalid(finished: Workspace) -> None:
    content = checkpoint.load(finished.best_model)
    content["model"]["norm.weight"].zero_()  # every token is equally likely
    checkpoint.save(finished.best_model, content)
    with pytest.raises(ValidationError, match="no better than counting tokens") as caught:
        validate(finished, 8)
    assert "--learning-rate" in caught.value.remedy


def test_finite_weights_whose_loss_is_not_are_invalid(finished: Workspace) -> None:
    content = checkpoint.load(finished.best_model)
    content["model"]["norm.weight"].fill_(3e38)
    content["model"]["norm.weight"][1:] = 0  # so that the sum of the weights is finite
    content["model"]["embedding.weight"].mul_(1e3)
    checkpoint.save(finished.best_model, content)
    with pytest.raises(ValidationError, match=r"loss is (nan|inf)"):
        validate(finished, 8)


def test_beside_other_programs_its_threads_may_sleep_and_are_left_as_they_were(
    finished: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spinning, a validation of seconds took minutes there, after the time of the run was over."""
    told: list[str] = []

    class Watched:
        def __init__(self, threads: int, cores: int) -> None:
            assert threads == torch.get_num_threads()
            assert cores >= 1

        def settle(self) -> None:
            told.append("settle")

        def look(self) -> str:
            told.append("look")
            return ""

        def close(self) -> None:
            told.append("close")

    monkeypatch.setattr("tinytx.train.validate.Waiting", Watched)
    validate(finished, 2)
    assert (told[0], told[-1]) == ("settle", "close")
    assert set(told[1:-1]) == {"look"}
    assert len(told) > 3
