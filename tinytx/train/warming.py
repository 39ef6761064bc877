"""Before the first step: kernels are built, and the faster of compiled and eager steps is taken."""

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tinytx import compiler
from tinytx.train.distributed import LossFunction
from tinytx.train.speed import faster_form, give_back_freed_memory, known_form

if TYPE_CHECKING:
    from tinytx.train.trainer import Trainer

PASSES_TIMED = 5

Batch = tuple[Tensor, Tensor]
"""Inputs and targets [B, T] of one pass."""


def warm_up(run: "Trainer") -> None:
    """A few forward and backward passes that change nothing: torch.compile builds its kernels
    now, so that no epoch's time contains it. Goes on eagerly when it cannot, or when a fresh
    run that may choose finds its kernels to be slower."""
    random, failed, eager = torch.get_rng_state(), run.failed, 0.0
    inputs, targets = run.batch_of(run.order_of(run.epoch), 0)
    batch = inputs[: run.at_once], targets[: run.at_once]
    if undecided := _may_choose_form(run):
        eager = _eager_seconds(run, batch)
        give_back_freed_memory()
    try:
        if run.job.compiled:  # validation's kernels first: a step's memory is then not there yet
            run.model.eval()
            with torch.no_grad():
                run.loss_of(*batch)
            run.model.train()
            give_back_freed_memory()
        run.loss_of(*batch).backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # a broken compiler shows itself in many ways
        if not run.job.compiled:
            raise
        failed = first_line(error)
    run.model.train()
    if run.group.any(bool(failed)):
        reason = (failed and (compiler.problem() or failed)) or "it fails in another process"
        run.reporter.warn(f"torch.compile does not work here, going on without: {reason}")
        _go_on_eagerly(run, reason)
    elif run.group.any(undecided and _eager_is_faster(run, eager, batch)):
        reason = "steps are faster without torch.compile here"
        run.reporter.note(f"{reason}: going on without")
        _go_on_eagerly(run, reason)
    run.model.zero_grad(set_to_none=True)
    give_back_freed_memory()  # the compiler's
    torch.set_rng_state(random)


def _may_choose_form(run: "Trainer") -> bool:
    """Whether it is open to this run if compiled kernels are the faster ones: a run that goes
    on keeps its form, since another one rounds differently."""
    job, auto = run.job, run.hyper.compile == "auto"
    fresh = not job.metrics.interruptions and run.group.device.type == "cpu"
    return auto and fresh and job.compiled and not known_form(job.settings, job.precision)


def _eager_seconds(run: "Trainer", batch: Batch) -> float:
    """The best time of an eager pass: four times that of a quarter of the windows, since such a
    pass keeps every score of attention, and would be what the whole run needs most memory for."""
    part = max(1, run.at_once // 4)
    seconds = pass_seconds(run, run.model.loss, (batch[0][:part], batch[1][:part]))
    return seconds * len(batch[0]) / part


def _eager_is_faster(run: "Trainer", eager: float, batch: Batch) -> bool:
    def compiled() -> float:
        return pass_seconds(run, run.loss, batch)

    return faster_form(run.job.settings, run.job.precision, eager, compiled) == "eager"


def pass_seconds(run: "Trainer", loss: LossFunction, batch: Batch) -> float:
    """The best time of a forward and backward pass."""
    seconds = []
    for _ in range(PASSES_TIMED):
        began = time.perf_counter()
        run.loss_of(*batch, loss).backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _go_on_eagerly(run: "Trainer", reason: str) -> None:
    run.job.compiled, run.loss = False, run.model.loss
    run.job.metrics.machine |= {"compiled": False, "eager_because": reason}


def first_line(error: Exception) -> str:
    """The beginning of what an error says, for one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
