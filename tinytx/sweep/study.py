"""The trials of a sweep in SQLite, through Optuna: what to try next, and what became of it."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tinytx.errors import CheckpointError, OverwriteRefused
from tinytx.sweep.budget import Breach
from tinytx.sweep.plan import Plan, changed
from tinytx.sweep.pruner import FACTS, FrontPruner
from tinytx.sweep.records import SETTLED, Outcome, Record
from tinytx.sweep.space import Dimension, Params, Range, Space, same

OUTCOME, REASON, RETRY, IDENTITY = "outcome", "reason", "retry_of", "identity"
WORKER = "worker"
"""Who tries a trial, in a search on several machines: its name and id."""
STATES = {
    Outcome.COMPLETE: TrialState.COMPLETE,
    Outcome.PRUNED: TrialState.PRUNED,
    Outcome.INFEASIBLE: TrialState.PRUNED,  # of a failed trial the sampler would learn nothing
}
"""What Optuna is told; for every other outcome that the trial failed."""
FIXED = "fixed_params"
"""Optuna's own name for the values that a trial was put up with, before it has begun."""

Facts = dict[str, Any]
"""What is known of a trial's model, as JSON."""


class SweepStudy:
    """One study in one file."""

    def __init__(self, study: optuna.Study, space: Space, seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed
        self._distributions = {k: _distribution(d) for k, d in space.dimensions.items()}

    def ask(self) -> optuna.Trial:
        """The next trial. What is sampled depends on the seed and the trials so far, not on how
        often the sweep was interrupted: every trial has a sampler of its own."""
        number = len(self._study.trials)
        seed = random.Random(f"{self._seed} {number}").getrandbits(32)
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        return self._study.ask(self._distributions)

    def propose(self) -> optuna.Trial | None:
        """The next trial, or None when what was proposed has been tried: then the next call has
        something else. Training is deterministic, it would find the same again."""
        trial = self.ask()
        earlier = self.taken(trial.number).get(same(trial.params))
        if earlier is None:
            return trial
        self.finish(trial, Outcome.REPEAT, f"repeats trial {earlier}")
        if (params := self.untried()) is not None:
            self.ask_for(params)
        return None

    def ask_for(self, params: Params, **attributes: Any) -> None:
        """Let the next trial have these values."""
        self._study.enqueue_trial(dict(params), user_attrs=attributes or None)

    def describe(self, trial: optuna.Trial, facts: Facts) -> None:
        """Record what is known of a trial before it is trained."""
        trial.set_user_attr(FACTS, facts)

    def report(self, trial: optuna.Trial, epoch: int, bits_per_byte: float) -> bool:
        """Record an epoch's result; whether the trial is to be stopped."""
        trial.report(bits_per_byte, epoch)
        return trial.should_prune()

    def finish(
        self,
        trial: optuna.Trial,
        outcome: Outcome,
        reason: str = "",
        facts: Facts | None = None,
        breach: Breach | None = None,
    ) -> Record:
        """Record how a trial ended."""
        known = facts or {}
        if breach is not None:
            trial.set_constraint(breach.constraint, breach.excess)
        for key, told in ((OUTCOME, outcome.value), (REASON, reason), (FACTS, known)):
            if told:
                trial.set_user_attr(key, told)
        value = known["bits_per_byte"] if outcome is Outcome.COMPLETE else None
        return record_of(self._study.tell(trial, value, STATES.get(outcome, TrialState.FAIL)))

    def finish_infeasible(self, trial: optuna.Trial, breach: Breach, facts: Facts) -> Record:
        """The sampler learns by how much, and goes elsewhere."""
        return self.finish(trial, Outcome.INFEASIBLE, breach.reason, facts, breach)

    def records(self) -> list[Record]:
        """Every trial that has ended, in order."""
        trials = self._study.trials
        ended = zip(self.records_of(trials), trials, strict=True)
        return [record for record, trial in ended if trial.state.is_finished()]

    def records_of(self, trials: Sequence[FrozenTrial]) -> list[Record]:
        """All trials of the study as records, whether they have ended or not."""
        return [record_of(trial) for trial in trials]

    def settled(self) -> dict[str, int]:
        """The combinations that need not be tried again, each with its trial's number."""
        return {same(r.params): r.number for r in self.records() if r.outcome in SETTLED}

    def taken(self, but: int | None = None) -> dict[str, int]:
        """The combinations that nobody need begin now, each with its trial's number; ``but`` is
        a trial that does not count."""
        return self.settled()

    def recover(self) -> list[int]:
        """After an interruption: trials that a killed sweep left running are recorded, and every
        interrupted one is put up again. Returns the numbers of the latter."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
        return self.put_up_again()

    def put_up_again(self) -> list[int]:
        """Let every interrupted trial that has not been be tried again; their numbers."""
        trials = self._study.get_trials()
        retried = {trial.user_attrs.get(RETRY) for trial in trials}
        again = []
        for record, trial in zip(self.records_of(trials), trials, strict=True):
            wanted = {**trial.system_attrs.get(FIXED, {}), **trial.params}
            whole = wanted.keys() == self._distributions.keys()
            ended = trial.state.is_finished() and record.outcome is Outcome.INTERRUPTED
            if ended and whole and trial.number not in retried:
                self.ask_for(wanted, **{RETRY: trial.number})
                again.append(trial.number)
        return again

    def untried(self) -> Params | None:
        """A combination of a countable space that is not taken, drawn by the seed; None when
        all are, or when they cannot be counted."""
        size, taken = self._space.size, self.taken()
        if size is None or len(taken) >= size:
            return None
        start = random.Random(f"{self._seed} {len(self._study.trials)}").randrange(size)
        for i in range(size):
            params = self._space.combination((start + i) % size)
            if same(params) not in taken:
                return params
        return None

    def exhausted(self) -> bool:
        size = self._space.size
        return size is not None and len(self.settled()) >= size


def open_study(path: Path, plan: Plan) -> SweepStudy:
    """Open or begin the study of a plan in the SQLite file ``path``.

    Raises :class:`OverwriteRefused` when it holds a sweep of something else, with the difference.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = sqlalchemy.URL.create("sqlite", database=str(path.resolve()))
    storage = optuna.storages.RDBStorage(url.render_as_string())
    text = json.dumps(plan.identity(), sort_keys=True)
    pruner, seed = FrontPruner(), plan.settings.training.seed
    if names := optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=names[0], storage=storage, pruner=pruner)
        if difference := changed(study.user_attrs.get(IDENTITY, {}), json.loads(text)):
            raise OverwriteRefused(
                f"{path} holds another sweep: {difference}",
                "--overwrite starts afresh; another --output-dir keeps it",
            )
        return SweepStudy(study, plan.space, seed)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    study = optuna.create_study(
        study_name=name, storage=storage, direction="minimize", pruner=pruner
    )
    study.set_user_attr(IDENTITY, json.loads(text))
    return SweepStudy(study, plan.space, seed)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """One sentence for whatever is wrong with the file. Raises :class:`CheckpointError`."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = getattr(error.__cause__ or error, "orig", None) or error
        raise CheckpointError(
            f"cannot read or write {path}: {' '.join(str(cause).split())[:200]}",
            "--overwrite starts afresh; another --output-dir leaves it alone",
        ) from error


def record_of(trial: FrozenTrial) -> Record:
    """An Optuna trial as a record."""
    attributes = trial.user_attrs
    facts, worker = attributes.get(FACTS, {}), attributes.get(WORKER, {}).get("name", "")
    outcome, lost = _outcome(trial)
    gone = f"{worker} was not heard of any more" if worker else "the sweep was killed"
    return Record(
        number=trial.number,
        outcome=outcome,
        params=dict(trial.params),
        reason=gone if lost else attributes.get(REASON, ""),
        parameters=facts.get("parameters"),
        bytes=facts.get("bytes"),
        next_token_ns=facts.get("next_token_ns"),
        bits_per_byte=facts.get("bits_per_byte") if outcome is Outcome.COMPLETE else None,
        training_20_epochs_ns=facts.get("training_20_epochs_ns"),
        epochs=[value for _, value in sorted(trial.intermediate_values.items())],
        tokens_per_second=facts.get("tokens_per_second"),
        worker=worker,
        relative_cost=facts.get("relative_cost"),
        retry_of=attributes.get(RETRY),
    )


def _outcome(trial: FrozenTrial) -> tuple[Outcome, bool]:
    """How a trial ended, and whether nobody said so: whoever tried it had gone.

    Optuna's state decides: it is written last, and once. What was noted before it may be of a
    process that came no further, or of one that came too late.
    """
    told = trial.user_attrs.get(OUTCOME)
    if trial.state is TrialState.COMPLETE:
        return Outcome.COMPLETE, False
    if trial.state is TrialState.PRUNED:
        return Outcome.INFEASIBLE if told == Outcome.INFEASIBLE else Outcome.PRUNED, False
    if told is None or Outcome(told) in STATES:
        return Outcome.INTERRUPTED, True
    return Outcome(told), False


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension.options)
    if dimension.whole:
        low, high, step = int(dimension.low), int(dimension.high), int(dimension.step)
        return IntDistribution(low, high, log=dimension.log, step=step)
    step_or_none = dimension.step or None
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=step_or_none)
