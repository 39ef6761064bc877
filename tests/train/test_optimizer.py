"""Muon against PyTorch's own, and against the singular value decomposition that it approximates."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tinytx.config import load_settings
from tinytx.train.model import Transformer
from tinytx.train.optimizer import ITERATIONS, Muon, Optimizer, orthogonal


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [48, 96])
def test_the_iteration_keeps_singular_vectors_and_brings_the_values_near_one(rows: int) -> None:
    matrices = random(3, rows, 48)
    result = orthogonal(matrices)
    for before, after in zip(matrices, result, strict=True):
        left, _, right = torch.linalg.svd(before, full_matrices=False)
        inner = left.mT @ after @ right.mT  # diagonal when the singular vectors are kept
        values = inner.diagonal()
        torch.testing.assert_close(inner, torch.diag(values), rtol=0, atol=1e-3)
        assert values.median().item() == pytest.approx(1.0, abs=0.25)
        assert values.max().item() < 1.3
        assert (values > 0.5).float().mean().item() > 0.9


def test_a_gradient_of_zeros_moves_nothing_but_the_decay() -> None:
    weight = nn.Parameter(random(8, 8))
    before = weight.detach().clone()
    weight.grad = torch.zeros(8, 8)
    Muon([(weight, 1)], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("shape", [(48, 48), (96, 48), (48, 96)])
def test_several_steps_are_those_of_the_muon_of_pytorch(shape: tuple[int, int]) -> None:
    ours, theirs = nn.Parameter(random(*shape)), nn.Parameter(random(*shape))
    options = {"lr": 0.05, "weight_decay": 0.3}
    optimizer = Muon([(ours, 1)], **options)
    reference = torch.optim.Muon(
        [theirs],
        momentum=0.95,
        nesterov=True,
        ns_steps=ITERATIONS,
        adjust_lr_fn="match_rms_adamw",
        **options,
    )
    for step in range(5):
        ours.grad = random(*shape, seed=step + 1)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        reference.step()
    moved = (theirs - random(*shape)).norm().item()
    assert moved > 1.0
    assert (ours - theirs).norm().item() < 0.02 * moved  # theirs computes in bfloat16


def test_stacked_matrices_are_each_made_orthogonal_on_their_own() -> None:
    stacked = nn.Parameter(random(96, 32))
    apart = [nn.Parameter(part.clone()) for part in random(96, 32).chunk(3)]
    stacked.grad = random(96, 32, seed=1)
    for part, gradient in zip(apart, stacked.grad.chunk(3), strict=True):
        part.grad = gradient.clone()
    Muon([(stacked, 3)], lr=0.1, weight_decay=0.0).step()
    Muon([(part, 1) for part in apart], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(stacked.detach(), torch.cat([p.detach() for p in apart]))


PAIRS = ["model.pair_rows=40"]


def test_every_weight_of_the_model_is_updated_once_and_norms_do_not_decay() -> None:
    settings = load_settings(
        assignments=[
            "model.layers=2",
            "model.width=32",
            "model.heads=2",
            "model.hidden=48",
            "model.pair_rows=40",
        ]
    )
    model = Transformer(settings.model, 300)
    model.initialise(torch.Generator().manual_seed(0))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = Optimizer(model, settings)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.1)
    shrunk = 1 - 0.1 * settings.training.weight_decay
    for name, parameter in model.named_parameters():
        expected = before[name] if "norm" in name else before[name] * shrunk
        torch.testing.assert_close(parameter.detach(), expected)
        assert parameter.grad is None
    assert optimizer.learning_rate == 0.1


def test_a_state_that_was_saved_continues_bit_by_bit() -> None:
    settings = load_settings(
        assignments=[
            "model.layers=1",
            "model.width=32",
            "model.heads=2",
            "model.hidden=48",
            "model.pair_rows=40",
        ]
    )
    models = [Transformer(settings.model, 300) for _ in range(2)]
    for model in models:
        model.initialise(torch.Generator().manual_seed(0))
    first, second = (Optimizer(model, settings) for model in models)

    def step(model: Transformer, optimizer: Optimizer, seed: int) -> None:
        for parameter in model.parameters():
            parameter.grad = random(*parameter.shape, seed=seed)
        optimizer.step(0.01)

    for seed in range(2):
        step(models[0], first, seed)
    models[1].load_state_dict(models[0].state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for model, optimizer in zip(models, (first, second), strict=True):
        step(model, optimizer, 2)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_of_another_optimizer_is_refused() -> None:
    small = [
        "model.layers=1",
        "model.width=32",
        "model.heads=2",
        "model.hidden=48",
        "model.pair_rows=40",
    ]
    settings = load_settings(assignments=small)
    plain = load_settings(assignments=[*small, "training.optimizer=adamw"])
    model = Transformer(settings.model, 300)
    with pytest.raises(ValueError, match="parameter group"):
        Optimizer(model, settings).load_state_dict(Optimizer(model, plain).state_dict())
