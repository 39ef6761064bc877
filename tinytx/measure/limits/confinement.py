"""How tightly a container holds a bench: a device's cores and memory, or what the budget grants."""

from collections.abc import Iterable

import msgspec

from tinytx.measure.limits.groups import up_to_a_page
from tinytx.measure.policy.budgets import Budget, Quantity, Row, Verdict
from tinytx.measure.policy.devices import Device
from tinytx.wording import counted

AT_LIMIT = 262_144
"""Bytes below the limit from which on it counts as reached: the kernel charges in batches."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine is asked to enforce; None is no limit."""

    memory: int | None = None
    """Bytes for all processes of the bench together, without swap."""
    memory_of: str = ""
    """Whose figure that is: the device's memory or the peak budget."""
    cores: int | None = None
    cpuset: str = ""
    """The processors it may run on, as the kernel lists them; empty where it may use all."""

    def __str__(self) -> str:
        parts = []
        if self.memory is not None:
            memory = Quantity.of(self.memory, "MB")
            parts.append(f"{memory} of memory ({self.memory_of}), no swap")
        if self.cores is not None:
            pinned = f" (number {self.cpuset})" if self.cpuset else ""
            parts.append(f"{counted(self.cores, 'core')}{pinned}")
        return ", ".join(parts) or "no limit"


class ContainerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The container that a bench ran in."""

    engine: str
    """Name and version."""
    image: str
    image_id: str
    limits: Limits
    notes: list[str] = []
    """Where the container is not what the device is."""
    killed: bool = False
    """Whether a process in it was killed for memory."""
    peak: int | None = None
    """Bytes that all processes in it took at most, where its control group tells."""

    @property
    def at_limit(self) -> bool:
        """Whether it came to its memory limit, and lived on by giving pages back."""
        limit = self.limits.memory
        return limit is not None and self.peak is not None and self.peak >= limit - AT_LIMIT

    def __str__(self) -> str:
        told = f"measured in a container of {self.image} ({self.image_id[:19]}) on {self.engine}"
        death = "; a process in it was killed at the memory limit" if self.killed else ""
        peak = (
            "" if self.peak is None else f"; all in it took {Quantity.of(self.peak, 'MB')} at most"
        )
        return f"{told}: {self.limits}{peak}{death}"


def limits_for(device: Device | None, budgets: Iterable[Budget], cores: int) -> Limits:
    """The limits for ``device`` on a machine of so many ``cores``.

    Memory is the smaller of what the device has and what the peak budget grants: a bench that
    runs within it is known to need no more, its own process included.
    """
    peaks = [budget.limit.base for budget in budgets if budget.name == "peak_memory"]
    choices = [(up_to_a_page(peak), "the peak budget") for peak in peaks]
    if device is not None:
        choices.append((up_to_a_page(device.memory_bytes), f"that of the {device.title}"))
    memory, whose = min(choices, default=(None, ""))
    if device is None:
        return Limits(memory=memory, memory_of=whose)
    taken = min(device.cores, cores)
    cpuset = ("0" if taken == 1 else f"0-{taken - 1}") if taken < cores else ""
    return Limits(memory=memory, memory_of=whose, cores=taken, cpuset=cpuset)


def notes_for(device: Device | None, limits: Limits) -> list[str]:
    """What the limits could not imitate."""
    if device is None:
        return ["no device was named: all cores of this machine"]
    if limits.cores is not None and limits.cores < device.cores:
        cores = counted(device.cores, "core")
        return [f"the {device.title} has {cores}, this machine only {limits.cores}"]
    return []


def labelled(rows: list[Row], processor: str) -> list[Row]:
    """The rows, with whose latency it is: a limit makes no processor slower."""
    note = f"in a container on this machine's processor ({processor}), no other is imitated"
    return [
        msgspec.structs.replace(row, basis="; ".join(part for part in (row.basis, note) if part))
        if row.budget.name == "next_token_p95"
        else row
        for row in rows
    ]


def without_cut_off(rows: list[Row], facts: ContainerFacts) -> list[Row]:
    """The rows; memory that PASSed while pages were given back at the limit is INVALID.

    What was given back is not in the figures. They can only be too low, so a FAIL stays one.
    """
    if not facts.at_limit:
        return rows
    reason = "the container came to its memory limit and gave pages back: the figure is cut off"
    return [
        msgspec.structs.replace(row, verdict=Verdict.INVALID, reason=reason)
        if row.budget.name in ("rss", "peak_memory") and row.verdict is Verdict.PASS
        else row
        for row in rows
    ]
