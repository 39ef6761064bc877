"""A study that several workers search at once.

Who asks for a trial, and who looks after lost ones, holds the lock of the database. So the trials
of the budget are counted exactly, and a running trial that nobody has signed, or that the asking
worker has signed before, is an orphan: whoever began it did not come as far, or has come back.
"""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import msgspec
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from tinytx.sweep.budget import Breach
from tinytx.sweep.plan import Plan
from tinytx.sweep.records import Outcome, Record
from tinytx.sweep.shared.database import Pulse, Server
from tinytx.sweep.shared.patience import STORAGE_ERRORS, Patience
from tinytx.sweep.space import same
from tinytx.sweep.study import OUTCOME, RETRY, STATES, WORKER, Facts, SweepStudy, record_of

TRIALS = "trials"
"""The study's attribute that holds the budget of all workers."""
MOST_LOST = 3
"""A trial whose workers were lost so often in a row is not tried again."""
RUNNING = (TrialState.RUNNING,)


class TrialLost(Exception):
    """The others have given this worker's trial up: it was silent for too long."""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, as the others know it."""

    id: str
    name: str
    tinytx: str = ""
    optuna: str = ""


class SharedStudy(SweepStudy):
    """One study in a database that others use as well."""

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        *,
        server: Server,
        storage: RDBStorage,
        pulse: Pulse,
        worker: Worker,
        patience: Patience,
    ) -> None:
        super().__init__(study, plan.space, plan.settings.training.seed)
        self.server, self.pulse, self.worker, self.patience = server, pulse, worker, patience
        self._storage = storage
        self._unsent: list[tuple[int, float]] = []

    def exclusively(self) -> AbstractContextManager[None]:
        """For one worker at a time."""
        return self.server.exclusively()

    def attribute(self, key: str) -> Any:
        """What the workers have agreed on, or None."""
        return self.patience.keep_trying(lambda: self._study.user_attrs.get(key))

    def agree(self, key: str, value: str) -> str:
        """The value of whoever came first."""

        def first() -> str:
            with self.exclusively():
                known = self._study.user_attrs.get(key)
                if known is None:
                    self._study.set_user_attr(key, value)
            return str(value if known is None else known)

        return self.patience.keep_trying(first)

    @property
    def budget(self) -> int:
        return int(self.attribute(TRIALS))

    def ask(self) -> optuna.Trial:
        """As for one machine; to be called with the lock, and signed by :meth:`sign`."""
        with warnings.catch_warnings():
            # The signs of life are ours: Optuna's come from its own loop, which ends too easily.
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            return super().ask()

    def sign(self, trial: optuna.Trial) -> None:
        """The first sign of life, then the name: a signed trial has one."""
        self._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(WORKER, {"id": self.worker.id, "name": self.worker.name})
        self._unsent = []

    def beat(self, trial: optuna.Trial) -> bool:
        """A sign of life; whether the trial is still this worker's."""
        self._storage.record_heartbeat(trial._trial_id)
        return self._storage.get_trial(trial._trial_id).state is TrialState.RUNNING

    def running(self) -> list[FrozenTrial]:
        """The trials that workers are at."""
        return self._study.get_trials(deepcopy=False, states=RUNNING)

    def taken(self, but: int | None = None) -> dict[str, int]:
        begun = {same(t.params): t.number for t in self.running() if t.number != but}
        return {**begun, **self.settled()}

    def all_taken(self) -> bool:
        size = self._space.size
        return size is not None and len(self.taken()) >= size

    def recover(self) -> list[int]:
        """With the lock: record the trials of workers that have gone, and put them up again."""
        for trial in self.running():
            signed = trial.user_attrs.get(WORKER)
            if signed is None or signed["id"] == self.worker.id:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        if self.server.seconds_up() > self.pulse.grace:  # else nobody could give a sign
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(self._study)
        return self.put_up_again()

    def records(self) -> list[Record]:
        return self.patience.keep_trying(super().records)

    def records_of(self, trials: Sequence[FrozenTrial]) -> list[Record]:
        """A trial that has cost several workers in a row counts as failed."""
        known = {trial.number: record_of(trial) for trial in trials}
        lost = {n for n, record in known.items() if record.outcome is Outcome.INTERRUPTED}
        lost -= {t.number for t in trials if t.user_attrs.get(OUTCOME) == Outcome.INTERRUPTED}
        for trial in trials:
            chain, at = 0, trial.number
            while at in lost:
                chain, at = chain + 1, trials[at].user_attrs.get(RETRY, -1)
            if chain >= MOST_LOST and trial.state is TrialState.FAIL:
                reason = f"its worker was lost {chain} times in a row, the last one {{}}"
                told = reason.format(known[trial.number].worker or "unknown")
                known[trial.number] = replace(
                    known[trial.number], outcome=Outcome.FAILED, reason=told
                )
        return list(known.values())

    def describe(self, trial: optuna.Trial, facts: Facts) -> None:
        try:
            self.patience.keep_trying(lambda: super(SharedStudy, self).describe(trial, facts))
        except UpdateFinishedTrialError:
            raise TrialLost from None

    def report(self, trial: optuna.Trial, epoch: int, bits_per_byte: float) -> bool:
        """Training waits for no database: what cannot be sent goes with the next report."""
        self._unsent.append((epoch, bits_per_byte))
        try:
            self._send(trial)
            return trial.should_prune()
        except UpdateFinishedTrialError:
            raise TrialLost from None
        except STORAGE_ERRORS:
            return False

    def finish(
        self,
        trial: optuna.Trial,
        outcome: Outcome,
        reason: str = "",
        facts: Facts | None = None,
        breach: Breach | None = None,
    ) -> Record:
        """Raises :class:`TrialLost` when others have ended the trial."""

        def end() -> Record:
            try:
                self._send(trial)
                return super(SharedStudy, self).finish(trial, outcome, reason, facts, breach)
            except (UpdateFinishedTrialError, ValueError):  # it has ended: perhaps by us, unheard
                ended = self._storage.get_trial(trial._trial_id)
                wanted = STATES.get(outcome, TrialState.FAIL)
                if ended.state is wanted and ended.user_attrs.get(OUTCOME) == outcome:
                    return record_of(ended)
                if not ended.state.is_finished():
                    raise
                raise TrialLost from None

        return self.patience.keep_trying(end)

    def _send(self, trial: optuna.Trial) -> None:
        while self._unsent:
            epoch, value = self._unsent[0]
            trial.report(value, epoch)
            self._unsent.pop(0)
