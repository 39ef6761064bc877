"""Causal attention with rotary positions, in two forms that do the same.

:func:`written_out` is a few lines of PyTorch. Compiled steps take one kernel of our own instead
(``kernels/attention.cpp``), which keeps scores in a processor core's caches and makes them anew for
the gradient; docs/decisions/0042 has the figures.
Shapes: B batch, T tokens, D width, H heads, S head size.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinytx.train import native
from tinytx.train.operators import operators

Attention = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""Queries, keys and values [B, T, 3 D], cos and sin of the positions [T, S / 2], the mask [T, T]
that is added to scores, and the number of heads, to mixed values [B, T, D]."""

TYPES = (torch.float32, torch.bfloat16)  # that the kernel knows

_kernels: ctypes.CDLL | None = None


def written_out(qkv: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Two matrix products and a softmax in float32."""
    batch, length, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    cos, sin, mask = (x.to(qkv.dtype) for x in (cos, sin, mask))
    parts = qkv.view(batch, length, 3, heads, width // heads)
    q, k, v = parts.permute(2, 0, 3, 1, 4)  # each [B, H, T, S]
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask  # [B, H, T, T]
    weights = torch.softmax(scores.float(), dim=-1).to(v.dtype)
    mixed: Tensor = (weights @ v).transpose(1, 2).reshape(batch, length, width)
    return mixed


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (x[i], x[i + S/2]) of [B, H, T, S] by their position's angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def in_one_kernel(qkv: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, heads: int) -> Tensor:
    """By the kernel that :func:`use` was given; always causal, whatever the mask."""
    mixed: Tensor = torch.ops.tinytx.attention(qkv, cos, sin, heads)
    return mixed


def use(kernels: ctypes.CDLL) -> Attention:
    """:func:`in_one_kernel`, by the kernel in this library.

    Raises :class:`CannotBuild` where it disagrees with :func:`written_out`: a compiler may be at
    fault, too.
    """
    global _kernels
    _kernels = kernels
    length, heads, size = 40, 2, 12
    generator = torch.Generator().manual_seed(1)
    qkv = torch.randn(1, length, 3 * heads * size, generator=generator)
    given = torch.randn(1, length, heads * size, generator=generator)
    angles = torch.rand(length, size // 2, generator=generator)
    mask = torch.full((length, length), -1e9).triu(1)
    results = []
    for form in (in_one_kernel, written_out):
        inputs = qkv.clone().requires_grad_()
        mixed = form(inputs, angles.cos(), angles.sin(), mask, heads)
        results += [mixed.detach(), *torch.autograd.grad(mixed, inputs, given)]
    native.compare("attention", results[:2], results[2:])
    return in_one_kernel


def _mixed(qkv: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    mixed = _mixed_shape(qkv, cos, sin, heads)
    _call("tinytx_attention", [qkv, cos, sin], mixed, heads)
    return mixed


def _gradient(qkv: Tensor, cos: Tensor, sin: Tensor, given: Tensor, heads: int) -> Tensor:
    """The gradient [B, T, D] of mixed values to that of queries, keys and values [B, T, 3 D]."""
    gradient = _gradient_shape(qkv, cos, sin, given, heads)
    _call("tinytx_attention_gradient", [qkv, cos, sin, given.to(qkv.dtype)], gradient, heads)
    return gradient


def _call(name: str, inputs: list[Tensor], result: Tensor, heads: int) -> None:
    qkv = inputs[0]
    if _kernels is None or qkv.dtype not in TYPES or qkv.device.type != "cpu":
        raise RuntimeError(f"there is no kernel for attention in {qkv.dtype} on {qkv.device}")
    dense = [x.contiguous() for x in inputs]  # held until the call is over
    dense[1], dense[2] = dense[1].float(), dense[2].float()
    windows, length, width = qkv.shape
    numbers = [windows, length, heads, width // 3 // heads]
    failed = getattr(_kernels, name)(
        *(ctypes.c_void_p(x.data_ptr()) for x in (*dense, result)),
        *(ctypes.c_int64(number) for number in numbers),
        int(qkv.dtype is torch.bfloat16),
    )
    if failed:
        raise MemoryError("attention found no memory for its scores")


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    *tensors, ctx.heads = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None, None]:
    gradient = torch.ops.tinytx.attention_gradient(*ctx.saved_tensors, given, ctx.heads)
    return gradient, None, None, None


def _mixed_shape(qkv: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)


def _gradient_shape(qkv: Tensor, cos: Tensor, sin: Tensor, given: Tensor, heads: int) -> Tensor:
    return qkv.new_empty(qkv.shape)


operators(
    ("attention(Tensor qkv, Tensor cos, Tensor sin, int heads) -> Tensor", _mixed, _mixed_shape),
    (
        "attention_gradient(Tensor qkv, Tensor cos, Tensor sin, Tensor given, int heads) -> Tensor",
        _gradient,
        _gradient_shape,
    ),
    backward=_backward,
    keep=_keep,
)
