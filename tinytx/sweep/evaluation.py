"""One trial from its settings to its record: reject what cannot fit, then train and watch."""

import math
import shutil
from pathlib import Path
from typing import Any

import optuna

from tinytx.config import Settings, as_dict
from tinytx.errors import CorpusError, TinytxError, TokenizerError, TrainingError, UsageError
from tinytx.sweep.budget import SETTINGS, Breach, check_budget, check_parameters
from tinytx.sweep.cost import Cost, CostModel
from tinytx.sweep.inputs import Inputs, OtherText, Prove, discard, link_trial
from tinytx.sweep.plan import Plan
from tinytx.sweep.protocol import Done, EpochEnd, Message, Pace, Run, StopTrial, Task
from tinytx.sweep.records import Outcome, Record
from tinytx.sweep.study import SweepStudy
from tinytx.sweep.watch import Watch
from tinytx.tokenizer import Tokenizer
from tinytx.train.recorded import without_folders
from tinytx.workspace import Workspace


class Rejected(Exception):
    """Nothing is to be trained with these settings."""

    def __init__(self, breach: Breach) -> None:
        super().__init__(breach.reason)
        self.breach = breach


class TooSlow(StopTrial):
    """Its first steps show that the training budget cannot be kept."""

    def __init__(self, breach: Breach) -> None:
        super().__init__(breach.reason)
        self.breach = breach


def _check_finite(bits_per_byte: float) -> None:
    """A trial of minus infinity would be the best of all for ever."""
    if not math.isfinite(bits_per_byte):
        raise TrainingError(f"the validation came to {bits_per_byte} bits per byte")


class Evaluator:
    """Evaluates the trials of one study."""

    def __init__(
        self, plan: Plan, root: Path, study: SweepStudy, watch: Watch, run: Run,
        prove: Prove | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.root, self.study = plan, root, study
        self.watch, self._run = watch, run
        self.inputs, self.costs = Inputs(root / "prepared", watch.reporter, prove), CostModel()
        self.several_machines = prove is not None

    def workspace(self, number: int) -> Workspace:
        """Where a trial's model is, as long as it is on the front."""
        return Workspace(self.root / "trials" / f"{number:04}")

    def remember(self, records: list[Record]) -> None:
        """Measure no shape twice, across calls either."""
        for record in records:
            if record.bytes is not None and record.next_token_ns is not None:
                settings = self.plan.settings_with(record.params)
                self.costs.know(settings, Cost(record.bytes, record.next_token_ns))

    def evaluate(self, trial: optuna.Trial) -> Record:
        """Cheap checks first. Raises :class:`TinytxError` for what no other trial would escape."""
        facts: dict[str, Any] = {}
        try:
            settings, prepared = self._prepare(trial, facts)
            tokenizer = Tokenizer.load(prepared.tokenizer)
            cost = self.costs.predict(settings, tokenizer)
            facts |= {"bytes": cost.bytes, "next_token_ns": cost.next_token_ns}
            if self.several_machines:
                facts |= {"relative_cost": cost.next_token_ns / self.costs.own_ns(tokenizer)}
            self._reject(check_budget(self.plan.budgets, "model_size", cost.bytes))
            self._reject(check_budget(self.plan.budgets, "next_token_p95", cost.next_token_ns))
        except Rejected as rejected:
            return self.study.finish_infeasible(trial, rejected.breach, facts)
        self.study.describe(trial, facts)  # the pruner reads them
        space = self.workspace(trial.number)
        shutil.rmtree(space.root, ignore_errors=True)
        link_trial(prepared, space)
        try:
            return self._train(trial, settings, space, facts)
        finally:
            if facts.get("bits_per_byte") is None:
                discard(space)

    def _prepare(self, trial: optuna.Trial, facts: dict[str, Any]) -> tuple[Settings, Workspace]:
        """Settings that fit together and into the parameters, and their text and tokenizer."""
        try:
            settings = self.plan.settings_with(trial.params)
        except UsageError as error:
            raise Rejected(Breach(SETTINGS, 1.0, error.message)) from error
        facts |= {"parameters": settings.parameters, "epochs": settings.training.epochs}
        self._reject(check_parameters(settings.parameters))
        try:
            return settings, self.inputs.prepare(settings)
        except OtherText:
            raise
        except (CorpusError, TokenizerError) as error:
            if not self.plan.searches_inputs:
                raise
            raise Rejected(Breach(SETTINGS, 1.0, error.message)) from error

    def _train(
        self, trial: optuna.Trial, settings: Settings, space: Workspace, facts: dict[str, Any]
    ) -> Record:
        self.watch.began(trial.number)

        def listen(message: Message) -> None:
            if isinstance(message, Pace):
                breach = self._training_budget(message.twenty_epochs_ns)
                if breach is not None:
                    raise TooSlow(breach)
            elif isinstance(message, EpochEnd):
                _check_finite(message.bits_per_byte)
                self.watch.epoch(trial.number, message.epoch, message.bits_per_byte)
                if self.study.report(trial, message.epoch, message.bits_per_byte):
                    raise StopTrial(f"at epoch {message.epoch}")

        try:
            done = self._run(
                Task(settings=as_dict(without_folders(settings)), folder=str(space.root)), listen
            )
            _check_finite(done.bits_per_byte)
        except TooSlow as slow:
            return self.study.finish_infeasible(trial, slow.breach, facts)
        except StopTrial as stop:
            return self.study.finish(trial, Outcome.PRUNED, str(stop), facts)
        except TinytxError as error:
            return self.study.finish(trial, Outcome.FAILED, error.message, facts)
        return self._complete(trial, done, facts)

    def _complete(self, trial: optuna.Trial, done: Done, facts: dict[str, Any]) -> Record:
        mean = sum(done.epoch_seconds) / len(done.epoch_seconds)
        total = (20 * mean + done.setup_seconds) * 1e9
        facts |= {"training_20_epochs_ns": total, "tokens_per_second": done.tokens_per_second}
        if (breach := self._training_budget(total)) is not None:
            return self.study.finish_infeasible(trial, breach, facts)
        facts |= {"bits_per_byte": done.bits_per_byte}
        return self.study.finish(trial, Outcome.COMPLETE, "", facts)

    def _training_budget(self, nanoseconds: float) -> Breach | None:
        return check_budget(self.plan.budgets, "training_20_epochs", nanoseconds)

    def _reject(self, breach: Breach | None) -> None:
        if breach is not None:
            raise Rejected(breach)
