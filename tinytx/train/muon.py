"""Muon: momentum, orthogonalised, for the matrices of the blocks.

K. Jordan and others 2024, https://kellerjordan.github.io/posts/muon/. The momentum of each weight
matrix is replaced by the nearest (semi-)orthogonal matrix, found by a few Newton-Schulz steps, so
that every direction moves at the same pace. The step is scaled by 0.2 sqrt(max(rows, columns)),
which gives it the size of an AdamW step (Liu et al. 2025, arXiv 2502.16982), so that one learning
rate serves both optimizers.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic, from the source above
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum and decoupled weight decay around :func:`orthogonalise`."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        product_type: torch.dtype = torch.float32,
    ) -> None:
        """``product_type`` is the arithmetic of the Newton-Schulz products."""
        super().__init__(
            parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )
        self._product_type = product_type

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix from its gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(momentum, group["momentum"])
                update = orthogonalise(ahead, self._product_type)
                scale = 0.2 * max(parameter.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, product_type: torch.dtype = torch.float32) -> Tensor:
    """About U V^T of a matrix U S V^T: singular values are driven to between 0.7 and 1.2."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(product_type)
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
