"""The loss over the vocabulary, held to PyTorch's own and to finite differences."""

import math
from ctypes import CDLL
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F

from tinytx.train import loss
from tinytx.train.loss import linear_cross_entropy, softmax_loss


def example(
    count: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(count)
    x = torch.randn(count, 16, generator=random, dtype=dtype, requires_grad=True)
    table = torch.randn(40, 16, generator=random, dtype=dtype, requires_grad=True)
    return x, table, torch.randint(0, 40, (count,), generator=random)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 31])
def test_loss_and_gradients_equal_those_of_pytorch(count: int) -> None:
    x, table, targets = example(count)
    theirs = F.cross_entropy(x @ table.T, targets)
    expected = torch.autograd.grad(3.0 * theirs, [x, table])
    with patch.object(loss, "CHUNK", 8):
        ours = linear_cross_entropy(x, table, targets)
        found = torch.autograd.grad(3.0 * ours, [x, table])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found, expected)


def test_the_gradient_is_that_of_finite_differences() -> None:
    x, table, targets = example(5, torch.float64)
    with patch.object(loss, "CHUNK", 2):
        assert torch.autograd.gradcheck(
            lambda a, b: linear_cross_entropy(a, b, targets), (x, table)
        )


def test_logits_beyond_the_range_of_exp_stay_finite() -> None:
    x, table, targets = example(4)
    with torch.no_grad():
        x *= 1_000.0
    ours = linear_cross_entropy(x, table, targets)
    torch.testing.assert_close(ours, F.cross_entropy(x @ table.T, targets))
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(ours, [x, table]))


def test_without_gradients_it_is_the_same_number() -> None:
    x, table, targets = example(20)
    with torch.no_grad():
        plain = linear_cross_entropy(x, table, targets)
    assert not plain.requires_grad
    assert plain == linear_cross_entropy(x, table, targets)


def test_bfloat16_products_stay_close_and_gradients_keep_the_tables_type() -> None:
    x, table, targets = example(64)
    exact = F.cross_entropy(x @ table.T, targets)
    expected = torch.autograd.grad(exact, [x, table])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = linear_cross_entropy(x, table, targets)
    found = torch.autograd.grad(mixed, [x, table])
    assert mixed.dtype is torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.01, atol=0.0)
    for gradient, reference in zip(found, expected, strict=True):
        assert gradient.dtype is torch.float32
        assert torch.cosine_similarity(gradient.flatten(), reference.flatten(), dim=0) > 0.999


def test_a_nearly_certain_target_keeps_its_small_gradient_in_bfloat16() -> None:
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(50, 40, generator=random).bfloat16()
    targets = logits.argmax(1, keepdim=True)
    logits.scatter_(1, targets, 9.0)  # probabilities of about 0.99
    exact = logits.double().softmax(1).gather(1, targets) - 1.0
    _, slopes, at_targets = softmax_loss(logits, targets, 1.0)
    assert slopes.dtype is at_targets.dtype is torch.bfloat16
    torch.testing.assert_close(at_targets.double(), exact, rtol=2**-8, atol=0.0)


@pytest.fixture
def kernel(kernels: CDLL) -> loss.Softmax:
    """The softmax of compiled steps."""
    return loss.use(kernels)


@pytest.mark.parametrize("count", [1, 8, 31])
def test_by_the_kernel_loss_and_gradients_equal_those_of_float64(
    kernel: loss.Softmax, count: int
) -> None:
    x, table, targets = example(count)
    exact = F.cross_entropy(x.double() @ table.double().T, targets)
    expected = torch.autograd.grad(exact, [x, table])
    with patch.object(loss, "CHUNK", 8):
        ours = linear_cross_entropy(x, table, targets, kernel)
        found = torch.autograd.grad(ours, [x, table])
    torch.testing.assert_close(ours, exact.float())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("width", [3, 16, 77, 4_096])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_kernels_slopes_are_those_of_the_form_in_pytorch(
    kernel: loss.Softmax, width: int, dtype: torch.dtype
) -> None:
    random = torch.Generator().manual_seed(width)
    logits = (torch.randn(9, width, generator=random) * 8).to(dtype)
    targets = torch.randint(0, width, (9, 1), generator=random)
    losses, slopes, at_targets = softmax_loss(logits, targets, 0.25)
    slopes.scatter_(1, targets, at_targets)
    ours = kernel(logits.clone(), targets, 0.25)
    torch.testing.assert_close(ours[0], losses)
    torch.testing.assert_close(ours[1], slopes)
    torch.testing.assert_close(ours[2], at_targets)
    assert all(torch.equal(a, b) for a, b in zip(kernel(logits, targets, 0.25), ours, strict=True))


def test_by_the_kernel_too_a_logit_that_is_no_number_makes_the_loss_none(
    kernel: loss.Softmax,
) -> None:
    for value in (math.nan, math.inf):
        logits = torch.zeros(2, 40)
        logits[0, 17] = value
        losses, _, _ = kernel(logits, torch.tensor([[3], [4]]), 1.0)
        assert not losses.isfinite()
