"""The training budget: "20 epochs in under 600 s", judged from what training recorded."""

from collections.abc import Sequence

from tinytx.bundle import TrainingRecord
from tinytx.measure.machine.facts import Machine
from tinytx.measure.policy.budgets import Figure, Quantity
from tinytx.wording import counted

EPOCHS = 20
MIN_EPOCHS = 2
NS = 1_000_000_000


def training_figure(record: TrainingRecord, machine: Machine) -> Figure:
    """Seconds of 20 epochs and what comes before them, as nanoseconds.

    A complete run of 20 epochs or more was measured: its 20 slowest epochs count. A shorter one
    is projected from its mean epoch, with 20 times its slowest and its fastest as the bounds.
    """
    seconds = record.epoch_seconds
    where = _trained_on(record, machine)
    if len(seconds) != record.epochs or any(not s > 0.0 for s in seconds):
        trouble = f"the bundle records {len(seconds)} epoch times for {record.epochs} epochs"
        return Figure(basis=where, trouble=trouble)
    if len(seconds) < MIN_EPOCHS:
        found = counted(len(seconds), "whole epoch")
        trouble = f"20 epochs cannot be told from {found}: train at least {MIN_EPOCHS}"
        return Figure(basis=where, trouble=trouble)
    setup = record.setup_seconds
    if len(seconds) >= EPOCHS and record.complete:
        total = (sum(sorted(seconds)[-EPOCHS:]) + setup) * NS
        which = "all 20 epochs" if len(seconds) == EPOCHS else f"20 slowest of {len(seconds)}"
        basis = f"measured in one run: {which} + {setup:.1f} s of preparation; {where}"
        return Figure(measured=total, lower=total, upper=total, basis=basis)
    return _projected(seconds, record, where)


def _projected(seconds: Sequence[float], record: TrainingRecord, where: str) -> Figure:
    count = len(seconds)

    def twenty(epoch: float) -> float:
        return (EPOCHS * epoch + record.setup_seconds) * NS

    stopped = "" if record.complete else " (the run was interrupted, or shortened to end in time)"
    basis = (
        f"projected from {count} epochs{stopped}: 20 x the slowest ({max(seconds):.1f} s) + "
        f"{record.setup_seconds:.1f} s of preparation; {where}"
    )
    slowest, fastest = twenty(max(seconds)), twenty(min(seconds))
    span = f"{Quantity.of(fastest, 's')} to {Quantity.of(slowest, 's')}"
    return Figure(
        measured=twenty(sum(seconds) / count),
        lower=fastest,
        upper=slowest,
        basis=basis,
        unproven=f"not proven by {count} epochs, which project to {span}",
    )


def _trained_on(record: TrainingRecord, machine: Machine) -> str:
    trained = str(record.machine.get("processor", "an unknown machine"))
    here = {machine.processor, machine.device}
    if trained in here:
        return f"trained on this kind of processor ({trained})"
    return f"trained on {trained}, not on this machine ({machine.device or machine.processor})"
