"""Quality: nats per token and bits per byte of held-out text.

Protocol: non-overlapping windows of the training length, every token predicted exactly once
with at most that much context. Bits per byte = total nats / ln 2 / bytes of text, which no
choice of vocabulary can flatter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tinytx.train.data import Tokens, evaluation_batches
from tinytx.train.distributed import ALONE, Group, LossFunction
from tinytx.train.model import Transformer


@dataclass(frozen=True)
class Score:
    """The loss of a model on a text."""

    total_nats: float
    tokens: int
    text_bytes: int

    @property
    def nats_per_token(self) -> float:
        return self.total_nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return self.total_nats / math.log(2) / self.text_bytes


def evaluate(
    model: Transformer,
    tokens: Tokens,
    text_bytes: int,
    batch: int,
    precision: torch.dtype = torch.float32,
    loss: LossFunction | None = None,
    group: Group = ALONE,
    after_each: Callable[[], object] | None = None,
) -> Score:
    """Score ``tokens`` (a start token, then the text of ``text_bytes`` bytes).

    ``loss`` is the model's loss, compiled for batches of the full shape; smaller ones go without.
    Of several processes each takes every so many-th batch, and all return the sum. ``after_each``
    is called after every batch.
    """
    was_training = model.training
    model.eval()
    total = 0.0
    device = next(model.parameters()).device
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision is torch.bfloat16)
    full = (batch, model.model.max_seq_length)
    with torch.no_grad(), mixed:
        for number, windows in enumerate(evaluation_batches(tokens, full[1], batch)):
            if number % group.world != group.rank:
                continue
            inputs, targets = (tensor.to(device) for tensor in windows)
            mean = loss if loss is not None and inputs.shape == full else model.loss
            total += float(mean(inputs, targets)) * targets.numel()
            if after_each is not None:
                after_each()
    model.train(was_training)
    return Score(group.sum(total), len(tokens) - 1, text_bytes)


def unigram_nats_per_token(train: Tokens, val: Tokens, vocab_size: int) -> float:
    """What a model that knows only how often each token occurs reaches on ``val``.

    Counts of the training tokens with one added to each (Laplace), so that none is zero.
    """
    counts = torch.zeros(vocab_size, dtype=torch.float64)
    for start in range(0, len(train), 1 << 22):
        chunk = torch.from_numpy(train[start : start + (1 << 22)].astype("int64"))
        counts += torch.bincount(chunk, minlength=vocab_size)
    log_p = ((counts + 1) / (counts.sum() + vocab_size)).log()
    targets = torch.from_numpy(val[1:].astype("int64"))
    return float(-log_p[targets].mean())
