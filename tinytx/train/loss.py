"""Cross-entropy over the vocabulary without ever holding all logits.

The logits of a batch, [N, V], are the largest tensor of a step: 33 MB for 4,096 tokens and 2,048
pieces, written and read several times by softmax, its logarithm and their gradients. Here the
product with the table, the softmax and both gradients are made for a few hundred tokens at a time,
which stay in the cache; only the mean loss and the gradients are kept. The forward pass does all
the work, since a gradient is the difference of two probabilities: softmax(logits) - target.
(The idea is that of "Cut Your Losses in Large-Vocabulary Language Models", Wijmans et al. 2024,
arXiv 2411.09009, there for the memory of a GPU.)
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 512
"""Tokens whose logits exist at once: 4 MB of float32 for 2,048 pieces."""


def linear_cross_entropy(x: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Mean of ``-log softmax(x @ table.T)[target]``, in nats, as a float32 scalar.

    ``x`` [N, D], ``table`` [V, D], ``targets`` [N]. Products in autocast's type where it is on,
    sums and exponentials in float32.
    """
    kind = x.device.type
    mixed = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if mixed else x.dtype
    with torch.autocast(kind, enabled=False):
        if not torch.is_grad_enabled():
            loss, _, _ = _chunks(x.to(dtype), table.to(dtype), targets, gradients=False)
            return loss
        result: Tensor = _LinearCrossEntropy.apply(x.to(dtype), table, targets)  # type: ignore[no-untyped-call]
        return result


class _LinearCrossEntropy(torch.autograd.Function):
    """The loss and, in the same pass, its gradients for a loss of weight 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        loss, for_x, for_table = _chunks(x, table.to(x.dtype), targets, gradients=True)
        ctx.save_for_backward(for_x, for_table.to(table.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, Tensor, None]:
        for_x, for_table = ctx.saved_tensors
        return for_x * weights[0].to(for_x.dtype), for_table * weights[0], None


def _chunks(
    x: Tensor, table: Tensor, targets: Tensor, gradients: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean loss, and its gradients for ``x`` [N, D] and ``table`` [V, D] (or empty)."""
    count = len(x)
    wide = torch.promote_types(x.dtype, torch.float32)
    total = x.new_zeros((), dtype=wide)
    for_x = torch.empty_like(x) if gradients else x.new_empty(0)
    for_table = torch.zeros_like(table, dtype=wide) if gradients else x.new_empty(0)
    for first in range(0, count, CHUNK):
        rows = slice(first, first + CHUNK)
        target = targets[rows, None]  # [C, 1]
        logits = (x[rows] @ table.mT).to(wide)  # [C, V]
        highest = logits.amax(1, keepdim=True)
        wanted = logits.gather(1, target)
        powers = logits.sub_(highest).exp_()
        sums = powers.sum(1, keepdim=True)
        total += (sums.log() + highest - wanted).sum()
        if gradients:  # (softmax - target) / N
            slopes = powers.mul_(1.0 / (count * sums))
            slopes.scatter_add_(1, target, torch.full_like(wanted, -1.0 / count))
            slopes = slopes.to(x.dtype)
            torch.mm(slopes, table, out=for_x[rows])
            if x.dtype is wide:
                for_table.addmm_(slopes.mT, x[rows])
            else:
                for_table += slopes.mT @ x[rows]
    return total / count, for_x, for_table
