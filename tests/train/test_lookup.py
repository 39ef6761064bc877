"""Look-ups: the rows, and their gradient, are those of PyTorch's own embedding."""

import torch
from torch import nn

from tinytx.train.lookup import Table


def test_rows_and_gradient_are_those_of_an_ordinary_embedding() -> None:
    torch.manual_seed(3)
    ours, theirs = Table(5_000, 16), nn.Embedding(5_000, 16)
    theirs.load_state_dict(ours.state_dict())
    rows = torch.randint(0, 60, (4, 33))  # many of them several times
    weights = torch.randn(4, 33, 16).transpose(0, 1).contiguous().transpose(0, 1)
    for table in (ours, theirs):
        (table(rows) * weights).sum().backward()
    assert torch.equal(ours(rows), theirs(rows))
    assert torch.equal(ours.weight.grad, theirs.weight.grad)
    assert ours.weight.grad.count_nonzero() == 16 * rows.unique().numel()


def test_the_operator_keeps_pytorchs_rules_for_operators() -> None:
    table = torch.randn(30, 4, requires_grad=True)
    rows = torch.tensor([[1, 2, 2], [29, 0, 1]])
    tried = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.tinytx.lookup, (table, rows), test_utils=tried)
