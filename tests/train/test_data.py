"""Windows of an epoch, windows of an evaluation, token files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.errors import CorpusError
from tinytx.train.data import EpochOrder, evaluation_batches, open_tokens


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Window length, batch size, and a number of tokens that holds at least one window."""
    length, batch = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    return length, batch, length + 1 + draw(st.integers(0, 400))


def counting(count: int) -> np.ndarray:
    """Token i is i, so that a window tells where it was cut."""
    return np.arange(count, dtype=np.uint16)


def starts(order: EpochOrder, length: int, batch: int) -> list[int]:
    """First token of each window, in order; checks that windows are contiguous text."""
    found = []
    for step in range(order.steps):
        inputs, targets = order.batch(step)
        assert inputs.shape == targets.shape == (batch, length)
        assert inputs.dtype == targets.dtype == torch.int64
        first = inputs[:, :1]
        assert torch.equal(inputs, first + torch.arange(length))
        assert torch.equal(targets, first + 1 + torch.arange(length))
        found += first[:, 0].tolist()
    return found


@settings(deadline=None, max_examples=150)
@given(shapes(), st.integers(0, 2**32), st.integers(0, 50))
def test_an_epoch_covers_every_window_once_but_the_filled_up_last_batch(
    shape: tuple[int, int, int], seed: int, epoch: int
) -> None:
    length, batch, count = shape
    found = starts(EpochOrder(counting(count), length, batch, seed, epoch), length, batch)
    windows = len(set(found))
    once, again = found[:windows], found[windows:]
    offset = min(once)
    assert offset < length
    assert sorted(once) == [offset + length * i for i in range(windows)]
    assert 0 <= count - 1 - (offset + length * windows) < length  # what is left is no window
    assert len(again) < batch
    assert again == (once * batch)[: len(again)]  # filled up from the first windows


def test_epochs_differ_in_their_cuts_and_in_their_order() -> None:
    tokens = counting(2_000)
    orders = [starts(EpochOrder(tokens, 16, 4, 1, epoch), 16, 4) for epoch in range(6)]
    assert len({min(order) for order in orders}) > 2
    assert len({tuple(order) for order in orders}) == 6
    assert all(order != sorted(order) for order in orders)


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    tokens = counting(2_000)
    first, second, other = (starts(EpochOrder(tokens, 16, 4, seed, 3), 16, 4) for seed in (5, 5, 6))
    assert first == second
    assert first != other


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(2, 400))
def test_an_evaluation_predicts_every_token_but_the_first_exactly_once_and_in_order(
    length: int, batch: int, count: int
) -> None:
    predicted: list[int] = []
    for inputs, targets in evaluation_batches(counting(count), length, batch):
        assert torch.equal(targets, inputs + 1)
        assert inputs.shape[0] <= batch
        assert inputs.shape[1] <= length
        assert torch.equal(inputs, inputs[:, :1] + torch.arange(inputs.shape[1]))
        predicted += targets.flatten().tolist()
    assert predicted == list(range(1, count))


def test_a_token_file_that_is_missing_is_a_corpus_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot read the tokens"):
        open_tokens(tmp_path / "none.bin")
