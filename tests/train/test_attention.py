"""Attention by our kernel: the same as the plain formula in float64, and the same each time."""

import math
from collections.abc import Callable, Iterator
from ctypes import CDLL

import pytest
import torch
from torch import Tensor

from tinytx.train import attention, native
from tinytx.train.attention import Attention
from tinytx.train.model import rotary_table

SHAPES = [  # windows, tokens, heads, size of a head
    (2, 128, 4, 32),
    (2, 256, 2, 64),
    (1, 256, 1, 80),
    (3, 37, 2, 12),  # neither fills a vector nor a block
    (1, 1, 1, 2),
    (1, 33, 1, 18),
    (1, 289, 1, 16),
]


@pytest.fixture
def kernel(kernels: CDLL) -> Attention:
    return attention.use(kernels)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def plain(qkv: Tensor, heads: int) -> Tensor:
    """The formula in float64: positions as complex numbers, what lies ahead at minus infinity."""
    windows, length, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    size = width // heads
    place = torch.arange(length, dtype=torch.float64)[:, None, None]
    rates = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    turn = torch.polar(torch.ones((), dtype=torch.float64), place * rates)  # [T, 1, S / 2]

    def turned(x: Tensor) -> Tensor:
        half = torch.complex(x[..., : size // 2], x[..., size // 2 :]) * turn
        return torch.cat((half.real, half.imag), dim=-1)

    q, k, v = qkv.double().view(windows, length, 3, heads, size).unbind(2)  # each [B, T, H, S]
    scores = torch.einsum("bqhs,bkhs->bhqk", turned(q), turned(k)) / math.sqrt(size)
    ahead = torch.ones(length, length).triu(1).bool()
    shares = scores.masked_fill(ahead, -math.inf).softmax(-1)
    return torch.einsum("bhqk,bkhs->bqhs", shares, v).reshape(windows, length, width)


def inputs(shape: tuple[int, int, int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    windows, length, heads, size = shape
    generator = torch.Generator().manual_seed(7)
    qkv = torch.randn(windows, length, 3 * heads * size, generator=generator) * 1.5
    given = torch.randn(windows, length, heads * size, generator=generator)
    return qkv.to(dtype), given.to(dtype)


def both(form: Attention, qkv: Tensor, given: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    length, size = qkv.shape[1], qkv.shape[2] // 3 // heads
    cos, sin = rotary_table(length, size, 10_000.0)
    mask = torch.full((length, length), -1e9).triu(1)
    leaf = qkv.clone().requires_grad_()
    mixed = form(leaf, cos, sin, mask, heads)
    (gradient,) = torch.autograd.grad(mixed, leaf, given)
    return mixed.detach(), gradient


def apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / (theirs.norm() + 1e-12))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 2e-6), (torch.bfloat16, 8e-3)], ids=str
)
def test_values_and_gradient_are_those_of_the_plain_formula_in_float64(
    kernel: Attention, shape: tuple[int, int, int, int], dtype: torch.dtype, limit: float
) -> None:
    qkv, given = inputs(shape, dtype)
    leaf = qkv.double().requires_grad_()
    expected = plain(leaf, shape[2])
    (slope,) = torch.autograd.grad(expected, leaf, given.double())
    errors = []
    for form in (kernel, attention.written_out):
        mixed, gradient = both(form, qkv, given, shape[2])
        assert mixed.dtype is gradient.dtype is dtype
        errors.append((apart(mixed, expected.detach()), apart(gradient, slope)))
    assert max(errors[0]) < limit
    assert max(errors[0]) <= 2 * max(errors[1])  # the written form is no better


def test_nothing_that_lies_ahead_is_seen(kernel: Attention) -> None:
    qkv, given = inputs((1, 70, 2, 16), torch.float32)
    changed = qkv.clone()
    changed[:, 40:] = 1e4
    before, after = (both(kernel, x, given, 2)[0] for x in (qkv, changed))
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.equal(before[:, 40:], after[:, 40:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_call_and_every_number_of_threads_gives_the_same_bits(
    kernel: Attention, threads: Callable[[int], None], dtype: torch.dtype
) -> None:
    qkv, given = inputs((3, 130, 2, 24), dtype)
    found = []
    for count in (1, 2, 2, 3):
        threads(count)
        found.append(both(kernel, qkv, given, 2))
    assert all(torch.equal(a, b) for one in found for a, b in zip(one, found[0], strict=True))


def test_scores_far_apart_and_equal_ones_stay_finite(kernel: Attention) -> None:
    qkv, given = inputs((1, 64, 1, 16), torch.float32)
    for factor in (0.0, 300.0):
        mixed, gradient = both(kernel, qkv * factor, given, 1)
        assert mixed.isfinite().all()
        assert gradient.isfinite().all()


def test_what_is_no_number_shows(kernel: Attention) -> None:
    qkv, given = inputs((1, 40, 1, 16), torch.float32)
    qkv[0, 3, 20] = math.nan  # a key
    mixed, _ = both(kernel, qkv, given, 1)
    assert mixed[0, :3].isfinite().all()
    assert mixed[0, 3:].isnan().all()


def test_the_operators_keep_pytorchs_rules_for_operators(kernel: Attention) -> None:
    qkv, given = inputs((1, 20, 2, 8), torch.float32)
    cos, sin = rotary_table(20, 8, 10_000.0)
    tried = ("test_schema", "test_autograd_registration", "test_faketensor")
    leaf = qkv.requires_grad_()
    torch.library.opcheck(torch.ops.tinytx.attention, (leaf, cos, sin, 2), test_utils=tried)
    arguments = (qkv.detach(), cos, sin, given, 2)
    torch.library.opcheck(torch.ops.tinytx.attention_gradient, arguments, test_utils=tried)


def test_numbers_that_no_kernel_knows_are_refused(kernel: Attention) -> None:
    qkv, given = inputs((1, 20, 2, 8), torch.float64)
    with pytest.raises(RuntimeError, match=r"no kernel for attention in torch\.float64 on cpu"):
        both(kernel, qkv, given, 2)


def test_a_library_that_computes_something_else_is_not_used(
    kernel: Attention, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Callable[..., int]:
            return lambda *_: 0  # leaves the result as it is

    before = attention._kernels
    monkeypatch.setattr(
        attention, "_mixed_shape", lambda qkv, *_: torch.ones(*qkv.shape[:2], qkv.shape[2] // 3)
    )
    with pytest.raises(native.CannotBuild, match="built for attention is off by"):
        attention.use(Broken())  # type: ignore[arg-type]
    attention._kernels = before
