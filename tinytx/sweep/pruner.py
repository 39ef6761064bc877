"""Stops a trial that will not reach the Pareto front."""

import statistics
from collections.abc import Sequence
from typing import Any

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

STARTUP = 4
"""So many trials are trained to their end before any is stopped."""
LEAST_RIVALS = 2
EARLIEST = 0.25
"""Share of its run before which no trial is stopped: where rates, batches or windows are searched,
those that begin well are others than those that end well (docs/log/searching.md)."""
FACTS = "facts"
"""The user attribute that holds size, cost and length of a trial."""


class FrontPruner(BasePruner):
    """The median rule (Golovin et al. 2017, Google Vizier), among rivals only.

    A trial stops when its best bits per byte so far is worse than the median of its rivals' at the
    same share of their runs. Rivals are finished trials of at most its size and at most its cost:
    a small model that is worse than larger ones may still be on the front, and goes on.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step, facts = trial.last_step, trial.user_attrs.get(FACTS)
        if len(finished) < STARTUP or step is None or facts is None:
            return False
        if not EARLIEST <= step / facts["epochs"] < 1:
            return False
        rivals = [other for other in finished if _size_and_cost(other.user_attrs[FACTS], facts)]
        if len(rivals) < LEAST_RIVALS:
            return False
        theirs = [_best_until(rival, step, facts["epochs"]) for rival in rivals]
        return min(trial.intermediate_values.values()) > statistics.median(theirs)


def _size_and_cost(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether they are at most ours; times of two machines are compared as ``relative_cost``."""
    cost = "relative_cost" if "relative_cost" in ours else "next_token_ns"
    return bool(theirs["bytes"] <= ours["bytes"] and theirs[cost] <= ours[cost])


def _best_until(trial: FrozenTrial, step: int, epochs: int) -> float:
    """A finished trial's best value after the share ``step / epochs`` of its own epochs."""
    values: Sequence[float] = [v for _, v in sorted(trial.intermediate_values.items())]
    return min(values[: -(-step * len(values) // epochs)])
