"""The mean of a run's last weights (stochastic weight averaging: Izmailov et al. 2018,
arXiv 1803.05407).

Weights that see the same text again and again learn ever more of it by heart, each step a little
elsewhere. What the last steps have in common is kept by their mean, and what each of them
happened to learn mostly is not. It costs no time worth the name, and the model none at all.
docs/decisions/0043 has the figures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 4
"""Steps from one set of weights that is taken to the next: neighbours hardly differ."""


class Average:
    """The mean of a model's weights over the last ``share`` of a schedule of ``total`` steps."""

    def __init__(self, model: nn.Module, share: float, total: int) -> None:
        self._model = model
        self._first = (1.0 - share) * total  # place in the schedule
        self._mean: dict[str, Tensor] = {}
        self.count = 0
        """How many sets of weights it is the mean of."""

    @torch.no_grad()
    def stepped(self, done: int, place: float) -> None:
        """The step at this place is done, the run's ``done``-th."""
        if place < self._first or done % EVERY:
            return
        weights = dict(self._model.named_parameters())
        if not self.count:
            self._mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.count += 1
        pairs = [(self._mean[name], weight) for name, weight in weights.items()]
        means, latest = (list(column) for column in zip(*pairs, strict=True))
        torch._foreach_lerp_(means, latest, 1.0 / self.count)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the model has the mean as its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._model.named_parameters():
            weights = weight.clone()
            weight.copy_(self._mean[name])
            self._mean[name].copy_(weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"count": self.count, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`. Raises ValueError when it is of another model."""
        count, mean = state["count"], state["mean"]
        sizes = {name: weight.shape for name, weight in self._model.named_parameters()}
        if count and {name: weight.shape for name, weight in mean.items()} != sizes:
            raise ValueError("the mean is of another model")
        device = next(self._model.parameters()).device
        self._mean = {name: weight.to(device) for name, weight in mean.items()}
        self.count = int(count)
