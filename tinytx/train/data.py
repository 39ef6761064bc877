"""Token files and the windows that are cut from them.

A token file is a flat array of little-endian uint16: the start token, then the text. It is
memory-mapped, so a corpus larger than memory trains, and a batch is one gather without any
per-item Python.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinytx.errors import CorpusError, os_errors_as

Tokens = NDArray[np.uint16]


def open_tokens(path: Path) -> Tokens:
    """Memory-map a token file. Raises :class:`CorpusError`."""
    with os_errors_as(CorpusError, "read the tokens"):
        return np.memmap(path, "<u2", mode="r")


class EpochOrder:
    """The windows of one epoch in their order, a function of the seed and the epoch alone.

    Each epoch cuts the text at a fresh offset and shuffles the windows; the last batch is
    filled up from the first windows, so that every batch has the same shape.
    """

    def __init__(self, tokens: Tokens, length: int, batch: int, seed: int, epoch: int) -> None:
        self._tokens, self._length = tokens, length
        self._batch = batch
        self._random = np.random.default_rng([seed, epoch])
        spare = len(tokens) - 1 - length
        self._offset = int(self._random.integers(0, min(length, spare + 1)))
        self._windows = (len(tokens) - 1 - self._offset) // length
        self.steps = -(-self._windows // batch)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where each window begins, [steps, batch]; made when the first batch is asked for."""
        starts = self._offset + self._length * self._random.permutation(self._windows)
        return np.resize(starts, (self.steps, self._batch))

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one step, or of some rows of it, int64 [rows, length] each."""
        index = self._starts[step][rows, None] + np.arange(self._length + 1)
        window = torch.from_numpy(self._tokens[index].astype(np.int64))
        return window[:, :-1].contiguous(), window[:, 1:].contiguous()


def evaluation_batches(tokens: Tokens, length: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Non-overlapping windows in order, every token but the start token predicted once.

    Full batches first, then what is left in smaller ones (the last window may be short).
    """
    predicted = len(tokens) - 1
    full = predicted // length
    for first in range(0, full, batch):
        starts = length * np.arange(first, min(first + batch, full))
        window = torch.from_numpy(tokens[starts[:, None] + np.arange(length + 1)].astype(np.int64))
        yield window[:, :-1].contiguous(), window[:, 1:].contiguous()  # as compiled for training
    if predicted % length:
        rest = torch.from_numpy(tokens[full * length :].astype(np.int64))[None]
        yield rest[:, :-1], rest[:, 1:]
