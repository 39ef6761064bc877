"""Cross-entropy over the vocabulary without ever holding all logits.

The logits of a batch, [N, V], are the largest tensor of a step: 33 MB for 4,096 tokens and 2,048
pieces, written and read several times by softmax, its logarithm and their gradients. Here the
product with the table, the softmax and both gradients are made for a few hundred tokens at a time,
which stay in the cache; only the mean loss and the gradients are kept. The forward pass does all
the work, since a gradient is the difference of two probabilities: softmax(logits) - target.
(The idea is that of "Cut Your Losses in Large-Vocabulary Language Models", Wijmans et al. 2024,
arXiv 2411.09009, there for the memory of a GPU.)
"""

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinytx.train import native

CHUNK = 512
"""Tokens whose logits exist at once: 4 MB of float32 for 2,048 pieces."""

Softmax = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]]
"""See :func:`softmax_loss`. The slopes may stand in the logits' place and hold the targets'."""


def softmax_loss(logits: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [C, V], targets [C, 1] and the weight of a token to three things: the sum of the
    losses; ``weight * softmax`` [C, V], the gradient for the logits but for the targets'; and
    those [C, 1], 1 taken off. Computed in float32 or better.

    Compiled it passes over the logits three times; as it stands, once for each operation.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    wanted = wide.gather(1, targets)
    highest = wide.amax(1, keepdim=True)
    powers = (wide - highest).exp_()
    sums = powers.sum(1, keepdim=True)
    losses = sums.log() + highest - wanted
    scale = weight / sums
    slopes = powers.mul_(scale).to(logits.dtype)
    at_targets = (wanted - highest).exp() * scale - weight
    return losses.sum(), slopes, at_targets.to(logits.dtype)


def use(kernels: ctypes.CDLL) -> Softmax:
    """:func:`softmax_loss` by the kernel in this library, which overwrites the logits.

    Raises :class:`native.CannotBuild` where the two disagree.
    """

    def one_pass(logits: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
        losses = logits.new_empty(len(logits), dtype=torch.float32)
        pointers = (ctypes.c_void_p(x.data_ptr()) for x in (logits, targets, losses))
        sizes = (ctypes.c_int64(size) for size in logits.shape)
        narrow = int(logits.dtype is torch.bfloat16)
        if kernels.tinytx_softmax_loss(*pointers, *sizes, ctypes.c_float(weight), narrow):
            raise MemoryError("the loss found no memory for a row of logits")
        return losses.sum(), logits, logits.gather(1, targets)

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 77, generator=generator)
    targets = torch.tensor([[0], [76], [33]])
    expected = softmax_loss(logits, targets, 0.5)
    expected[1].scatter_(1, targets, expected[2])
    native.compare("the loss", one_pass(logits.clone(), targets, 0.5), expected)
    return one_pass


def linear_cross_entropy(
    x: Tensor, table: Tensor, targets: Tensor, softmax: Softmax = softmax_loss
) -> Tensor:
    """Mean of ``-log softmax(x @ table.T)[target]``, in nats, as a float32 scalar.

    ``x`` [N, D], ``table`` [V, D], ``targets`` [N]. Products in autocast's type where it is on,
    sums and exponentials in float32. ``softmax`` stands in for :func:`softmax_loss`, compiled for
    :data:`CHUNK` rows.
    """
    kind = x.device.type
    mixed = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if mixed else x.dtype
    with torch.autocast(kind, enabled=False):
        if not torch.is_grad_enabled():
            loss, _, _ = _chunks(x.to(dtype), table.to(dtype), targets, softmax, gradients=False)
            return loss
        result: Tensor = _LinearCrossEntropy.apply(x.to(dtype), table, targets, softmax)  # type: ignore[no-untyped-call]
        return result


class _LinearCrossEntropy(torch.autograd.Function):
    """The loss and, in the same pass, its gradients for a loss of weight 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, targets: Tensor, softmax: Softmax) -> Tensor:
        loss, for_x, for_table = _chunks(x, table.to(x.dtype), targets, softmax, gradients=True)
        ctx.save_for_backward(for_x, for_table.to(table.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, Tensor, None, None]:
        for_x, for_table = ctx.saved_tensors
        return for_x * weights[0].to(for_x.dtype), for_table * weights[0], None, None


def _chunks(
    x: Tensor, table: Tensor, targets: Tensor, softmax: Softmax, gradients: bool
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
        logits = x[rows] @ table.mT  # [C, V]
        function = softmax if len(logits) == CHUNK else softmax_loss
        losses, slopes, at_targets = function(logits, target, 1.0 / count)
        total += losses
        if gradients:  # slopes: (softmax - 1 at the target) / N
            slopes[torch.arange(len(slopes), device=x.device), targets[rows]] = at_targets[:, 0]
            torch.mm(slopes, table, out=for_x[rows])
            if x.dtype is wide:
                for_table.addmm_(slopes.mT, x[rows])
            else:
                for_table += slopes.mT @ x[rows]
    return total / count, for_x, for_table
