"""Two optimizers in one: Muon for the blocks' matrices, AdamW for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a
matrix by the nearest orthogonal matrix, so that directions seldom asked for move as far as
frequent ones. The embedding is a table of words, not a map, and the norms' weights are vectors:
those take AdamW with decoupled decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

One learning rate serves both: Muon's update is scaled to the size 0.2 per weight that AdamW's
typically has (Liu et al. 2025, "Muon is scalable for LLM training", arXiv 2502.16982).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from tinytx.config import Settings
from tinytx.train.model import Transformer

MOMENTUM = 0.95
UPDATE_SIZE = 0.2  # root mean square of an update at learning rate 1
ITERATIONS = 3
QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at 0 among those that keep singular values near 1
SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, with decoupled weight decay and Nesterov's look ahead.

    ``matrices`` are pairs of a parameter [parts * rows, columns] and its number of parts: a
    parameter that holds several matrices one above the other is taken apart.
    """

    def __init__(
        self,
        matrices: Iterable[tuple[Tensor, int]],
        lr: float,
        weight_decay: float,
        precision: torch.dtype = torch.float32,
    ) -> None:
        pairs = list(matrices)
        self._precision = precision
        self._parts = [parts for _, parts in pairs]
        super().__init__([p for p, _ in pairs], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter from its gradient."""
        assert closure is None
        (group,) = self.param_groups
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter, parts in zip(group["params"], self._parts, strict=True):
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(parameter.grad, 1.0 - MOMENTUM)
            update = parameter.grad.lerp(momentum, MOMENTUM)
            for weight, matrix in zip(parameter.chunk(parts), update.chunk(parts), strict=True):
                if matrix.shape[0] < matrix.shape[1]:
                    weight, matrix = weight.mT, matrix.mT
                by_shape[matrix.shape[0], matrix.shape[1]].append((weight, matrix))
        for (rows, _), pairs in by_shape.items():
            weights = [weight for weight, _ in pairs]
            stack = torch.stack([matrix for _, matrix in pairs])
            # as tensors, a factor beyond float32 becomes infinite instead of an error
            size = stack.new_tensor(-group["lr"] * UPDATE_SIZE * rows**0.5)
            updates = orthogonal(stack, self._precision).mul_(size).unbind()
            torch._foreach_mul_(
                weights, stack.new_tensor(1.0 - group["lr"] * group["weight_decay"])
            )
            torch._foreach_add_(weights, updates)


def orthogonal(matrices: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Bring most singular values of tall matrices [N, rows, columns] to about 1.

    A fixed number of steps of a quintic Newton-Schulz iteration, its products in ``precision``.
    """
    a, b, c = QUINTIC
    size: Tensor = matrices.norm(dim=(-2, -1), keepdim=True)
    x = (matrices / (size + SMALLEST_NORM)).to(precision)
    for _ in range(ITERATIONS):
        gram = x.mT @ x  # [N, columns, columns], the smaller side
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, polynomial, beta=a)
    return x.to(matrices.dtype)


class Optimizer:
    """The optimizer of the settings, one learning rate and one state."""

    def __init__(
        self, model: Transformer, settings: Settings, precision: torch.dtype = torch.float32
    ) -> None:
        hyper = settings.training
        rate, decay = hyper.learning_rate, hyper.weight_decay
        self._all: list[torch.optim.Optimizer] = []
        matrices = list(model.block_matrices()) if hyper.optimizer == "muon" else []
        if matrices:
            self._all.append(Muon(matrices, rate, decay, precision))
        taken = {id(parameter) for parameter, _ in matrices}
        tables = list(model.tables())
        taken |= {id(table) for table in tables}
        rest = [p for p in model.parameters() if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if p.dim() >= 2], "weight_decay": decay},
            {"params": tables, "weight_decay": hyper.table_weight_decay},
            {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
        ]
        betas = (hyper.beta1, hyper.beta2)
        self._all.append(torch.optim.AdamW(groups, lr=rate, betas=betas, fused=True))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        rate: float = self._all[0].param_groups[0]["lr"]
        return rate

    def step(self, learning_rate: float) -> None:
        """Update every parameter from its gradient, and drop the gradients."""
        for one in self._all:
            for group in one.param_groups:
                group["lr"] = learning_rate
            one.step()
            one.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Everything that the next step depends on."""
        return [one.state_dict() for one in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continue from :meth:`state_dict`. Raises ValueError when it is of another model."""
        for one, state in zip(self._all, states, strict=True):
            one.load_state_dict(state)


def learning_rate(step: float, total: int, settings: Settings) -> float:
    """Linear warm-up, then a cosine from the peak to its floor (arXiv 1608.03983, no restart).

    ``step`` is a place among ``total`` planned steps, between two of them in a shortened run.
    """
    hyper = settings.training
    warmup = min(hyper.warmup_steps, total // 10)
    if step < warmup:
        return hyper.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    floor = hyper.min_learning_rate
    return hyper.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
