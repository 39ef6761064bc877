"""The sweep itself: ask for settings, evaluate them, keep the models that pay."""

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna

from tinytx.errors import (
    Interrupted,
    OverwriteRefused,
    PrerequisiteError,
    TinytxError,
    os_errors_as,
)
from tinytx.sweep import child
from tinytx.sweep.evaluation import Evaluator
from tinytx.sweep.inputs import Prove, discard
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Run
from tinytx.sweep.records import TRAINED, Outcome, Record, front_of
from tinytx.sweep.study import SweepStudy, open_study, storage_errors
from tinytx.sweep.watch import Watch

SHARED = "shared.json"
"""In the output directory of a worker of a search on several machines: which one."""
MOST_INFEASIBLE = 50
"""Proposals in a row that nothing allows; then the sweep gives up."""


class Sweep:
    """One call of ``tinytx sweep``, in an output directory that this class has to itself."""

    def __init__(
        self, plan: Plan, root: Path, watch: Watch, study: SweepStudy, run: Run = child.run,
        prove: Prove | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.root, self.watch, self._study = plan, root, watch, study
        self.evaluator = Evaluator(plan, root, study, watch, run, prove)

    def run(self) -> list[Record]:
        """Go on until so many trials are trained, the time is up or everything was tried.

        Returns the records of all trials. Raises :class:`Interrupted` on Ctrl-C, when all but the
        trial under way is recorded.
        """
        ends = time.monotonic() + self.plan.time_limit
        try:
            self._begin()
            while (trial := self._claim(ends)) is not None:
                self._try(trial)
        except KeyboardInterrupt:
            raise Interrupted(self._interrupted(), "the same command goes on") from None
        return self._study.records()

    def _budget(self) -> int:
        """How many trials are to be trained."""
        return self.plan.trials

    def _interrupted(self) -> str:
        count = trained(self._study.records())
        return f"interrupted; {count} of {self._budget()} trials are recorded"

    def _claim(self, ends: float) -> optuna.Trial | None:
        """The next trial to evaluate; None, once the reason is told, when there is none."""
        while (reason := self._reason_to_stop(ends)) is None:
            if (trial := self._study.propose()) is not None:
                return trial
        if reason:
            self.watch.note(reason)
        return None

    def _begin(self) -> None:
        if not self.plan.searches_inputs:  # a text that cannot be used ends it all at once
            self.evaluator.inputs.prepare(self.plan.settings)
        records = self._study.records()
        self.evaluator.remember(records)
        again = self._study.recover()
        if records or again:
            count = trained(records)
            retried = f"; tried again: {', '.join(map(str, again))}" if again else ""
            self.watch.note(f"going on after {count} trained trials{retried}")
        self._tidy()

    def _reason_to_stop(self, ends: float) -> str | None:
        """None to go on; else why it ends, which is nothing to tell when all trials are done."""
        records = self._study.records()
        if trained(records) >= self._budget():
            return ""
        if self._study.exhausted():
            return "every combination has been tried"
        if time.monotonic() > ends:
            return "the time is up"
        tail = [r for r in records if r.outcome is not Outcome.REPEAT][-MOST_INFEASIBLE:]
        if len(tail) == MOST_INFEASIBLE and all(r.outcome is Outcome.INFEASIBLE for r in tail):
            return f"{len(tail)} proposals in a row are infeasible; the last: {tail[-1].reason}"
        return None

    def _try(self, trial: optuna.Trial) -> None:
        """One trial from its proposal to its record."""
        try:
            record = self.evaluator.evaluate(trial)
        except (KeyboardInterrupt, TinytxError):
            self._interrupt(trial)
            raise
        self.watch.ended(record)
        self._tidy()

    def _interrupt(self, trial: optuna.Trial) -> None:
        record = self._study.finish(trial, Outcome.INTERRUPTED)
        self.watch.ended(record)

    def _tidy(self) -> None:
        """Models off the Pareto front are deleted; their metrics stay."""
        records = self._study.records()
        kept = {record.number for record in front_of(records)}
        for record in records:
            if record.number not in kept:
                discard(self.evaluator.workspace(record.number))


def trained(records: Sequence[Record]) -> int:
    """How many of them count against ``--trials``."""
    return sum(record.outcome in TRAINED for record in records)


def run_sweep(
    plan: Plan, root: Path, watch: Watch, overwrite: bool = False, run: Run = child.run
) -> list[Record]:
    """Begin or continue a sweep in ``root``; the records of all its trials.

    Raises :class:`OverwriteRefused` when another one is there, :class:`CheckpointError` when its
    file is damaged, and what :meth:`Sweep.run` raises.
    """
    with only_one(root), storage_errors(root / "sweep.db"):
        if overwrite:
            for path in (*root.glob("sweep.db*"), root / SHARED):
                path.unlink(missing_ok=True)
            shutil.rmtree(root / "trials", ignore_errors=True)
        if (root / SHARED).exists():
            raise OverwriteRefused(
                f"{root} holds trials of a search on several machines",
                "--overwrite starts afresh; another --output-dir keeps them",
            )
        return Sweep(plan, root, watch, open_study(root / "sweep.db", plan), run).run()


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Two sweeps in one folder would undo each other's work."""
    with os_errors_as(PrerequisiteError, f"write into {root}"):
        root.mkdir(parents=True, exist_ok=True)
        file = (root / "sweep.lock").open("wb")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PrerequisiteError(
                f"another sweep is at work in {root}", "wait for it, or choose another --output-dir"
            ) from error
        yield
