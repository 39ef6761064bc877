"""The training loop: tokens in, ``best_model.pt`` and ``final_model.pt`` out.

Muon and AdamW with decoupled weight decay (``optimizer.py``), linear warm-up, cosine schedule,
gradient clipping by global norm. Everything that the next step depends on is in the checkpoint;
the data order is a function of the seed and the epoch.
"""

import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from tinytx.cgroup import usable_cores
from tinytx.config import Settings
from tinytx.errors import CheckpointError, Interrupted, TrainingError
from tinytx.train import checkpoint, pace
from tinytx.train.averaging import Average
from tinytx.train.compiling import compiled_loss
from tinytx.train.data import EpochOrder, Tokens
from tinytx.train.distributed import ALONE, Group, LossFunction
from tinytx.train.evaluate import Score, evaluate
from tinytx.train.memory import larger, peak_memory
from tinytx.train.metrics import EpochRecord, Metrics, metrics_to_plain
from tinytx.train.model import Transformer
from tinytx.train.optimizer import Optimizer, learning_rate
from tinytx.train.pace import Pace, PaceState
from tinytx.train.progress import Reporter, StepReport
from tinytx.train.signals import StopRequest
from tinytx.train.waiting import Waiting
from tinytx.train.warming import first_line, warm_up
from tinytx.workspace import Workspace

CHECKPOINT_SECONDS = 60.0


@dataclass
class Job:
    """What a run works on."""

    settings: Settings
    workspace: Workspace
    train_tokens: Tokens
    val_tokens: Tokens
    val_bytes: int
    hashes: dict[str, str]
    """sha256 of the train text, val text and tokenizer: a checkpoint belongs to these."""
    metrics: Metrics
    precision: torch.dtype = torch.float32
    compiled: bool = False
    began: float = field(default_factory=lambda: pace.clock())
    """When the command began, by the clock of ``pace.py``."""


class Trainer:
    """One run, from its first step or from a checkpoint, to its end."""

    def __init__(self, job: Job, reporter: Reporter, group: Group = ALONE) -> None:
        self.job, self.reporter, self.group = job, reporter, group
        self.hyper = job.settings.training
        self.length = job.settings.model.max_seq_length
        rows = self.hyper.batch_size // group.world
        self.at_once = math.gcd(self.hyper.at_once, rows)  # windows in one pass of this process
        torch.manual_seed(self.hyper.seed)
        self.model = Transformer(
            job.settings.model,
            job.settings.tokenizer.vocab_size,
            self.hyper.dropout,
            self.hyper.pair_dropout,
        )
        self.model.initialise(torch.Generator().manual_seed(self.hyper.seed))
        group.prepare(self.model)
        self.optimizer = Optimizer(self.model, job.settings, job.precision)
        self.loss: LossFunction = self.model.loss
        self.failed = ""  # why there are no compiled steps
        if job.compiled:
            try:
                self.loss = compiled_loss(self.model, reporter.note)
            except Exception as error:  # without a folder for temporary files, for example
                self.failed = first_line(error)
        self.epoch = 0  # epochs finished
        self.step = 0  # steps finished in the epoch under way
        self.loss_sum = 0.0  # over those steps
        self._began = time.perf_counter()
        self.epoch_seconds = 0.0  # spent in the epoch under way, before the last resume
        self.steps_in = [self.order_of(e).steps for e in range(self.hyper.epochs)]
        self.total_steps = sum(self.steps_in)
        tokens_in_step = self.hyper.batch_size * self.length
        share = len(job.val_tokens) / tokens_in_step
        self.pace = Pace(self.hyper.time_limit, self.steps_in, share, job.began, group)
        self.average = Average(self.model, self.hyper.average, self.total_steps)
        self.best = math.inf
        self.waiting = Waiting(torch.get_num_threads(), usable_cores())

    def warm_up(self) -> None:
        """Passes that change nothing, so that no epoch's time contains what the first ones cost."""
        self.waiting.settle()
        warm_up(self)

    def run(self) -> Metrics:
        """Train to the end. Raises :class:`Interrupted` after a checkpoint, or
        :class:`TrainingError` when the loss is no longer a finite number."""
        self.model.train()
        self.loss = self.group.wrap(self.model, self.loss)
        if self.group.job and not self.pace.done:
            self._save_state()  # for torchrun to start from again
        self.reporter.begin(self.job.metrics.run_id, self.pace.done)
        self.waiting.begin()
        self.pace.begin()
        with StopRequest() as stop, closing(self.waiting):
            while not self.finished:
                self._run_epoch(stop)
        self._save(self.job.workspace.final_model, self._model_content())
        if self.group.any(stop.requested):  # in the last validation, whose state is saved
            raise Interrupted("interrupted; the run so far is saved")
        return self.job.metrics

    @property
    def finished(self) -> bool:
        """Whether the schedule has been run through and its last epoch validated."""
        return self.epoch == self.hyper.epochs or (self.pace.over and not self.step)

    def _run_epoch(self, stop: StopRequest) -> None:
        order = self.order_of(self.epoch)
        began = saved = self._began = time.perf_counter()
        tokens_here = 0
        while self.step < order.steps and not self.pace.over:
            if told := self.pace.advance():
                self.reporter.note(told)
            loss = self._train_step(*self.batch_of(order, self.step), stop)
            self.step += 1
            self.pace.stepped()
            self.loss_sum += loss
            tokens_here += self.hyper.batch_size * self.length
            now = time.perf_counter()
            self._report(loss, tokens_here / (now - began))
            if told := self.waiting.look():
                self.reporter.note(told)
            if self.group.any(stop.requested):
                self._save_state()
                self.group.any(False)  # nobody ends before the state is saved
                raise Interrupted("interrupted; the run so far is saved")
            if now - saved > CHECKPOINT_SECONDS:
                with self.pace.apart():
                    self._save_state()
                saved = now
        tokens = self.hyper.batch_size * self.length * self.step
        rate = tokens / self._seconds_in_epoch()
        with self.pace.apart(validation=True):
            self._finish_epoch(order.steps, rate)

    def _train_step(self, inputs: Tensor, targets: Tensor, stop: StopRequest) -> float:
        """Forward, backward, clip, update; returns the loss in nats per token."""
        value, share = 0.0, self.at_once / len(inputs)
        for first in range(0, len(inputs), self.at_once):
            part = slice(first, first + self.at_once)
            loss = self.loss_of(inputs[part], targets[part]) * share  # the parts' gradients add up
            loss.backward()  # type: ignore[no-untyped-call]
            value += float(loss.detach())
        value = self.group.sum(value) / self.group.world
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.epoch + 1}, step {self.step + 1}",
                "lower --learning-rate",
            )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.hyper.gradient_clip)
        with stop.deferred():  # weights and moments change together or not at all
            self.optimizer.step(self._learning_rate())
            self.average.stepped(self.pace.done + 1, self.pace.place)
        return value

    def loss_of(self, inputs: Tensor, targets: Tensor, loss: LossFunction | None = None) -> Tensor:
        """Nats per token in the arithmetic of this run."""
        mixed = self.job.precision is torch.bfloat16
        with torch.autocast(self.group.device.type, dtype=torch.bfloat16, enabled=mixed):
            return (loss or self.loss)(inputs, targets)

    def _finish_epoch(self, steps: int, tokens_per_second: float) -> None:
        job = self.job
        self.group.align(self.model)
        score, averaged = self._validate(), False
        train_loss, learning_rate = self.loss_sum / self.step, self.optimizer.learning_rate
        improved = self._keep_if_best(score)
        if self.pace.over and self.average.count:
            with self.average.in_place():
                self.group.align(self.model)
                mean = self._validate()
                averaged = mean.nats_per_token < score.nats_per_token
                if averaged:
                    score, improved = mean, self._keep_if_best(mean) or improved
        job.metrics.epochs.append(
            EpochRecord(
                epoch=self.epoch + 1,
                train_loss=train_loss,
                val_loss=score.nats_per_token,
                val_bits_per_byte=score.bits_per_byte,
                learning_rate=learning_rate,
                seconds=self._seconds_in_epoch(),
                tokens_per_second=tokens_per_second,
                others_busy=self.waiting.mean(),
                part=self.step / steps,
                averaged=averaged,
            )
        )
        self.epoch, self.step, self.loss_sum, self.epoch_seconds = self.epoch + 1, 0, 0.0, 0.0
        self._began = time.perf_counter()
        job.metrics.peak_memory_bytes = larger(job.metrics.peak_memory_bytes, peak_memory())
        job.metrics.steps, job.metrics.planned_steps = self.pace.done, self.total_steps
        if self.group.first:
            job.metrics.write(job.workspace.metrics)
        self._save_state()
        record = job.metrics.epochs[-1]
        self.reporter.epoch(record)
        part = "" if record.part == 1 else f" ({100 * record.part:.0f} % of it)"
        self.reporter.note(
            f"epoch {self.epoch}/{self.hyper.epochs}{part}: train {train_loss:.3f}, "
            f"val {score.nats_per_token:.3f} nats/token, {score.bits_per_byte:.3f} bits/byte, "
            f"{record.seconds:.1f} s{', the mean of the last weights' if averaged else ''}"
            f"{', best so far' if improved else ''}"
        )

    def _validate(self) -> Score:
        """The model's score. Raises :class:`TrainingError` where it is no number."""
        job = self.job
        score = evaluate(
            self.model,
            job.val_tokens,
            job.val_bytes,
            self.at_once,
            job.precision,
            self.loss if job.compiled else None,
            self.group,
        )
        if not math.isfinite(score.nats_per_token):
            raise TrainingError(
                f"the validation loss became {score.nats_per_token} in epoch {self.epoch + 1}",
                "lower --learning-rate",
            )
        return score

    def _keep_if_best(self, score: Score) -> bool:
        """Write the model where its score is the best so far, and tell whether it is."""
        if score.nats_per_token >= self.best:
            return False
        self.best = score.nats_per_token
        self.job.metrics.best_epoch = self.epoch + 1
        content = self._model_content(val_loss=score.nats_per_token)
        self._save(self.job.workspace.best_model, content)
        return True

    def order_of(self, epoch: int) -> EpochOrder:
        return EpochOrder(
            self.job.train_tokens, self.length, self.hyper.batch_size, self.hyper.seed, epoch
        )

    def batch_of(self, order: EpochOrder, step: int) -> tuple[Tensor, Tensor]:
        """This process's rows of a step's inputs and targets, on its device."""
        inputs, targets = order.batch(step, self.group.rows(self.hyper.batch_size))
        return inputs.to(self.group.device), targets.to(self.group.device)

    def _learning_rate(self) -> float:
        return learning_rate(self.pace.place, self.total_steps, self.job.settings)

    def _seconds_in_epoch(self) -> float:
        return self.epoch_seconds + time.perf_counter() - self._began

    def _report(self, loss: float, rate: float) -> None:
        done, total = self.pace.done, self.pace.expected
        tokens_left = (total - done) * self.hyper.batch_size * self.length
        self.reporter.step(
            StepReport(
                done=done,
                total=total,
                epoch=self.epoch + 1,
                epochs=self.hyper.epochs,
                loss=loss,
                tokens_per_second=rate,
                seconds_left=tokens_left / rate,
            )
        )

    def _model_content(self, **facts: Any) -> dict[str, Any]:
        job = self.job
        return checkpoint.model_content(
            self.model,
            job.settings,
            job.hashes,
            run_id=job.metrics.run_id,
            epoch=self.epoch,
            **facts,
        )

    def _save_state(self) -> None:
        """Write everything that the next step depends on."""
        state = self._model_content(
            optimizer=self.optimizer.state_dict(),
            average=self.average.state_dict(),
            random=torch.get_rng_state(),
            step=self.step,
            loss_sum=self.loss_sum,
            epoch_seconds=self._seconds_in_epoch(),
            best=self.best,
            metrics=metrics_to_plain(self.job.metrics),
            pace=msgspec.to_builtins(self.pace.state()),
            job=self.group.job,
        )
        self._save(self.job.workspace.last_checkpoint, state)

    def _save(self, path: Path, content: dict[str, Any]) -> None:
        if self.group.first:
            checkpoint.save(path, content)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`_save_state` wrote (the caller has compared the settings).

        Raises :class:`CheckpointError` when the state does not fit the model.
        """
        path = self.job.workspace.last_checkpoint
        checkpoint.fill(self.model, state, path)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            if "average" in state:  # an earlier version had none: it begins here
                self.average.load_state_dict(state["average"])
            torch.set_rng_state(state["random"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{path} holds no usable optimizer state") from error
        try:
            self.pace.restore(msgspec.convert(state["pace"], PaceState))
        except msgspec.ValidationError as error:
            raise CheckpointError(f"{path} holds no usable pace: {error}") from error
        self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
        self.epoch_seconds, self.best = state["epoch_seconds"], state["best"]
