"""One worker of a search on several machines.

It stops when the budget of all is trained. Until then it goes on whatever happens: the server may
restart, this machine may sleep, others may die; what they were at is tried again.
"""

import time
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from tinytx.config import Settings
from tinytx.errors import PrerequisiteError
from tinytx.sweep import child
from tinytx.sweep.inputs import OtherText, discard
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Done, Listen, Message, Run, Task
from tinytx.sweep.records import Record
from tinytx.sweep.search import Sweep, only_one, trained
from tinytx.sweep.shared.database import Server, database_errors
from tinytx.sweep.shared.heart import Heart
from tinytx.sweep.shared.opening import open_shared, take_folder, this_worker
from tinytx.sweep.shared.study import SharedStudy, TrialLost
from tinytx.sweep.shared.terms import Terms, text_hash, text_key
from tinytx.sweep.study import WORKER
from tinytx.sweep.watch import Watch
from tinytx.wording import counted
from tinytx.workspace import Workspace

POLL = 2.0
"""Seconds between two looks at what the other workers are at, when nothing is left to begin."""
MOST_REPEATS = 20
"""Proposals of what has been tried, in one visit."""


class SharedSweep(Sweep):
    """What one worker does, in an output directory of its own."""

    _study: SharedStudy

    def __init__(
        self, plan: Plan, root: Path, watch: Watch, study: SharedStudy, run: Run = child.run
    ) -> None:
        super().__init__(plan, root, watch, study, self._watched(run), self._prove)
        self._heart: Heart | None = None

    def _watched(self, run: Run) -> Run:
        """A trial that others have given up ends at its next word."""

        def watched(task: Task, listen: Listen) -> Done:
            def hear(message: Message) -> None:
                if self._heart is not None and self._heart.lost:
                    raise TrialLost
                listen(message)

            return run(task, hear)

        return watched

    def _budget(self) -> int:
        return self._study.budget

    def _begin(self) -> None:
        if not self.plan.searches_inputs:  # another text ends it before anything is asked
            self.evaluator.inputs.prepare(self.plan.settings)
        records = self._study.records()
        name = self._study.worker.name
        self.evaluator.remember([record for record in records if record.worker == name])
        self.watch.note(
            f"{name} searches in {self._study.server.address}: {trained(records)} of "
            f"{self._budget()} trials are trained"
        )
        self._tidy()

    def _prove(self, settings: Settings, prepared: Workspace) -> None:
        """That all workers train on the same bytes. Raises :class:`OtherText`."""
        ours = text_hash(prepared)
        theirs = self._study.agree(f"text {text_key(settings)}", ours)
        if ours != theirs:
            raise OtherText(
                f"the prepared text here (sha256 {ours[:12]}) is not that of the other workers "
                f"(sha256 {theirs[:12]})",
                "give a copy of the very same text, and use the same version of tinytx",
            )

    def _claim(self, ends: float) -> optuna.Trial | None:
        waiting = False
        while True:
            found = self._study.patience.keep_trying(lambda: self._attempt(ends))
            if isinstance(found, str):
                self._leave(found)
                return None
            if found is not None:
                return found
            waiting = waiting or self._wait_aloud()
            time.sleep(POLL)

    def _attempt(self, ends: float) -> optuna.Trial | str | None:
        """A trial that is ours, why to stop, or None to wait."""
        with self._study.exclusively():
            again = self._study.recover()
            reason = self._reason_to_stop(ends)
            found = self._propose() if reason is None else reason
        self._tell_again(again)
        return found

    def _propose(self) -> optuna.Trial | None:
        """With the lock: a trial that is signed, if the budget and the space have one left."""
        begun = len(self._study.running())
        if trained(self._study.records()) + begun >= self._budget():
            return None
        try:
            for _ in range(MOST_REPEATS):
                if self._study.all_taken():
                    break
                if (trial := self._study.propose()) is not None:
                    self._study.sign(trial)
                    return trial
        except UpdateFinishedTrialError:
            pass  # paused in here, so the lock was lost: others have given the trial up
        return None

    def _tell_again(self, numbers: list[int]) -> None:
        if not numbers:
            return
        known = {record.number: record for record in self._study.records()}
        for number in numbers:
            reason = known[number].reason or f"interrupted on {known[number].worker}"
            self.watch.note(f"trial {number} is tried again: {reason}")

    def _wait_aloud(self) -> bool:
        """Say for whom; whether there was anybody still."""
        running = self._study.patience.keep_trying(self._study.running)
        if not running:
            return False
        names = sorted({t.user_attrs.get(WORKER, {}).get("name", "another") for t in running})
        self.watch.note(
            f"nothing is left to begin; waiting for {counted(len(running), 'trial')} on "
            f"{', '.join(names)}: tried again here after {self._study.pulse.grace} s of silence"
        )
        return True

    def _leave(self, reason: str) -> None:
        count, budget = trained(self._study.records()), self._budget()
        if reason:
            self.watch.note(reason)
        if count > budget:
            self.watch.note(f"{count} trials are trained where {budget} were asked for")

    def _try(self, trial: optuna.Trial) -> None:
        beat, interval = lambda: self._study.beat(trial), self._study.pulse.interval
        with Heart(beat, interval) as self._heart:
            try:
                super()._try(trial)
            except TrialLost:
                discard(self.evaluator.workspace(trial.number))
                self.watch.note(
                    f"trial {trial.number} was given up by the others while this worker was not "
                    "heard of; what it came to here does not count"
                )

    def _interrupt(self, trial: optuna.Trial) -> None:
        self._study.patience.lose()  # the user wants to go
        try:
            super()._interrupt(trial)
        except TrialLost:
            pass
        except PrerequisiteError:
            self.watch.note(
                f"trial {trial.number} could not be given back; the others notice after "
                f"{self._study.pulse.grace} s"
            )

    def _interrupted(self) -> str:
        self._study.patience.lose()
        try:
            return super()._interrupted()
        except PrerequisiteError:
            return "interrupted; what is recorded cannot be read"


def run_shared(
    plan: Plan,
    root: Path,
    watch: Watch,
    server: Server,
    name: str,
    terms: Terms,
    worker: str | None = None,
    run: Run = child.run,
) -> list[Record]:
    """Search as one worker of the search ``name``; the records of all workers' trials.

    Raises :class:`OtherText` when the text differs, :class:`PrerequisiteError` when the database
    has gone for too long, :class:`OverwriteRefused` when ``root`` holds something else.
    """
    with only_one(root), database_errors(server.address):
        me = this_worker(take_folder(root, terms.uid), worker)
        study = open_shared(server, name, plan, terms, me, watch)
        try:
            return SharedSweep(plan, root, watch, study, run).run()
        except KeyError:  # Optuna's word for a record that is not there
            if name in optuna.get_all_study_names(server.storage()):
                raise
            raise PrerequisiteError(
                f"the search {name!r} is no longer in {server.address}: somebody deleted it"
            ) from None
