"""Rows of a table, and a gradient that is the same each time.

Compiled, the gradient of an ordinary look-up is added atomically, by several threads in whatever
order they come: each run rounds differently. PyTorch's own kernel gives each thread its own rows of
the table, each of which it adds up in the order of the tokens. As an operator the compiler takes it
as it is; docs/decisions/0029 has the figures.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tinytx.train.operators import operators

NO_PADDING = -1


class Table(nn.Embedding):
    """A table [N, D] of which rows are looked up."""

    def forward(self, rows: Tensor) -> Tensor:
        """Row numbers [B, T] to rows [B, T, D]."""
        found: Tensor = torch.ops.tinytx.lookup(self.weight, rows)
        return found


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    return torch.ops.aten.embedding(table, rows)  # type: ignore[no-any-return]


def _gradient(gradient: Tensor, rows: Tensor, count: int) -> Tensor:
    """The gradient [B, T, D] of looked-up rows to that of the table [count, D]."""
    return torch.ops.aten.embedding_dense_backward(  # type: ignore[no-any-return]
        gradient.contiguous(), rows, count, NO_PADDING, False
    )


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    table, rows = inputs
    ctx.count = table.shape[0]
    ctx.save_for_backward(rows)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (rows,) = ctx.saved_tensors
    return torch.ops.tinytx.lookup_gradient(gradient, rows, ctx.count), None


def _rows_shape(table: Tensor, rows: Tensor) -> Tensor:
    return table.new_empty(*rows.shape, table.shape[1])


def _gradient_shape(gradient: Tensor, rows: Tensor, count: int) -> Tensor:
    return gradient.new_empty(count, gradient.shape[-1])


operators(
    ("lookup(Tensor table, Tensor rows) -> Tensor", _rows, _rows_shape),
    (
        "lookup_gradient(Tensor gradient, Tensor rows, int count) -> Tensor",
        _gradient,
        _gradient_shape,
    ),
    backward=_backward,
    keep=_keep,
)
