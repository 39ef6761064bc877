"""Who is a rival, and when losing to rivals ends a trial."""

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tinytx.sweep.pruner import FACTS, FrontPruner


def finished(values: list[float], size: int = 10, cost: float = 1.0) -> FrozenTrial:
    facts = {"bytes": size, "next_token_ns": cost, "epochs": len(values)}
    return create_trial(
        value=min(values),
        intermediate_values=dict(enumerate(values, 1)),
        user_attrs={FACTS: facts},
    )


def running(values: list[float], epochs: int, size: int = 10, cost: float = 1.0) -> FrozenTrial:
    facts = {"bytes": size, "next_token_ns": cost, "epochs": epochs}
    return create_trial(
        state=TrialState.RUNNING,
        intermediate_values=dict(enumerate(values, 1)),
        user_attrs={FACTS: facts},
    )


CURVES = [[3.0, 2.0, 1.0], [3.2, 2.1, 1.1], [3.4, 2.2, 1.2], [3.6, 2.3, 1.3]]


@pytest.mark.parametrize(
    ("trial", "stopped"),
    [
        (running([3.5], 3), True),
        (running([3.2], 3), False),
        (running([3.0, 2.4], 3), True),
        (running([9.0, 9.0, 9.0], 3), False),  # it is finished anyway
        (running([9.0], 3, size=9), False),  # smaller than all: on the front whatever it reaches
        (running([9.0], 3, cost=0.9), False),
        (running([9.0], 3, size=11, cost=1.1), True),
        (running([3.5, 3.4], 6), True),  # a third of six epochs against a third of three
        (running([9.0], 6), False),  # a sixth of its run says little yet
        (running([3.5], 4), True),
        (running([], 3), False),
    ],
)
def test_a_trial_is_stopped_when_it_is_worse_than_the_median_of_its_rivals(
    trial: FrozenTrial, stopped: bool
) -> None:
    study = optuna.create_study()
    study.add_trials([finished(curve) for curve in CURVES])
    assert FrontPruner().prune(study, trial) is stopped


def test_the_first_trials_are_trained_to_their_end() -> None:
    study = optuna.create_study()
    study.add_trials([finished(curve) for curve in CURVES[:3]])
    assert not FrontPruner().prune(study, running([9.0], 3))
