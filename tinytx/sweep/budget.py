"""The written budgets as limits of a search: what a model would break, and by how much.

Judged are model size, next token and training time. Memory is left to ``tinytx bench``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinytx.config import MAX_PARAMETERS
from tinytx.measure.policy.budgets import Budget

SETTINGS, PARAMETERS = "settings", "parameters"
"""Limits that are no budgets: settings must fit together, and there is a most of parameters."""


@dataclass(frozen=True)
class Breach:
    """One limit that is not kept."""

    constraint: str
    excess: float
    """How far over the limit, as a share of it; above 0."""
    reason: str


def check_parameters(count: int) -> Breach | None:
    if count <= MAX_PARAMETERS:
        return None
    reason = f"{count:,} parameters are more than {MAX_PARAMETERS:,}"
    return Breach(PARAMETERS, count / MAX_PARAMETERS - 1, reason)


def check_budget(budgets: Sequence[Budget], name: str, base: float) -> Breach | None:
    """Whether ``base`` (bytes or nanoseconds) breaks the budget ``name``, if there is one."""
    for budget in budgets:
        if budget.name == name and not budget.kept_by(base):
            over = f"{budget.title}: {budget.told(base)} predicted, the limit is {budget.limit}"
            return Breach(name, max(base / budget.limit.base - 1, 1e-9), over)
    return None
