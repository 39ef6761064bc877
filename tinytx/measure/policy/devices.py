"""The devices that a bundle is meant for, and what a bench on this machine says about one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError
from tinytx.measure.machine.facts import FEATURES, Machine
from tinytx.measure.policy.budgets import (
    SCHEMA,
    Budget,
    Quantity,
    Row,
    check_keys,
    nearest,
    policy_file,
    policy_names,
    read_toml,
)
from tinytx.wording import counted

FOLDER = "devices"
FREE_FOR_SYSTEM = 0.2
"""Share of a device's memory that a small Linux system takes: 200 MB of 1 GB."""


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of device, as ``bench/devices/*.toml`` describes it."""

    schema: int
    title: str
    processor: str
    architecture: str
    """What ``uname -m`` says there."""
    cores: Annotated[int, Meta(ge=1, le=4_096)]
    clock_mhz: Annotated[int, Meta(ge=1, le=100_000)]
    features: tuple[str, ...]
    """Instruction sets that matter to matrix products, of those that the bench looks for."""
    memory_bytes: Annotated[int, Meta(ge=1_000_000, le=2**50)]
    """What is built in; the system sees less."""
    storage: str
    model: str = ""
    """What /proc/device-tree/model begins with, where the firmware tells it."""
    expect: tuple[str, ...] = ()
    """What a user should know before measuring there."""

    def __str__(self) -> str:
        memory = Quantity.of(self.memory_bytes, "MB")
        features = ", ".join(self.features) or "no extensions"
        return (
            f"{self.title}: {self.cores} x {self.processor} at {self.clock_mhz:,} MHz, "
            f"{memory.amount:,.0f} MB, {self.architecture} ({features}), {self.storage}"
        )


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a bench on this machine says about a device."""

    device: Device
    here: bool
    """Whether this machine is that device."""
    says: dict[str, str]
    """Per budget: how far its figure speaks of the device."""
    warnings: list[str]


def load_device(name: str) -> Device:
    """A device by its name, or from a file of one's own. Raises :class:`UsageError`."""
    path = device_file(name)
    document = read_toml(path)
    check_keys(document, Device.__struct_fields__, str(path))
    try:
        device = msgspec.convert(document, Device)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    if device.schema != SCHEMA:
        raise UsageError(f"{path}: schema must be {SCHEMA}, not {device.schema}")
    for feature in device.features:
        if feature not in FEATURES:
            hint = nearest(feature, FEATURES)
            raise UsageError(f"{path}: features: unknown feature {feature!r}; {hint}")
    return device


def device_file(name: str) -> Path:
    """Where a device is described. Raises :class:`UsageError` for an unknown name."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    known = policy_names(FOLDER)
    if name not in known:
        raise UsageError(f"no device is called {name!r}; {nearest(name, known)}")
    return policy_file(f"{FOLDER}/{name}.toml")


def is_here(device: Device, machine: Machine) -> bool:
    """Whether the firmware says that this machine is that device (and it is not imitated)."""
    named = bool(device.model) and machine.device.startswith(device.model)
    return named and not machine.emulation


def standing(device: Device, machine: Machine, budgets: Iterable[Budget], threads: int) -> Standing:
    """What the figures of a bench on ``machine`` say about ``device``."""
    here = is_here(device, machine)
    return Standing(
        device=device,
        here=here,
        says={} if here else _says(device, machine),
        warnings=[
            *_too_large(device, budgets),
            *([] if here else _differs(device, machine)),
            *_too_many(device, threads),
        ],
    )


def annotated(rows: list[Row], found: Standing) -> list[Row]:
    """The rows with what each says about the device added to its basis."""
    told = []
    for row in rows:
        note = found.says.get(row.budget.name, "")
        basis = "; ".join(part for part in (row.basis, note) if part)
        told.append(msgspec.structs.replace(row, basis=basis))
    return told


def _says(device: Device, machine: Machine) -> dict[str, str]:
    title, here = device.title, machine.device or machine.processor
    latency = f"this is the latency of {here}, not of the {title}"
    if machine.architecture == device.architecture:
        memory = f"memory on the {title} is about the same: {device.architecture} there and here"
    else:
        memory = (
            f"memory on the {title} differs: {device.architecture} there, "
            f"{machine.architecture} here, with other libraries"
        )
    size = f"the size is the same on the {title}"
    return {
        "rss": memory,
        "peak_memory": memory,
        "next_token_p95": latency,
        "model_size": size,
    }


def _differs(device: Device, machine: Machine) -> list[str]:
    """What this machine has and the device lacks, so that other code runs there."""
    title = device.title
    if machine.architecture != device.architecture:
        return [
            f"another instruction set runs on the {title} ({device.architecture}, here "
            f"{machine.architecture}): function is proven by `tinytx verify` there"
        ]
    found = []
    surplus = [feature for feature in machine.features if feature not in device.features]
    if surplus:
        found.append(
            f"the {title} lacks {', '.join(surplus)}, which this processor has: slower code"
        )
    if machine.usable_cores > device.cores:
        cores = counted(device.cores, "core")
        found.append(f"the {title} has {cores}, this machine {machine.usable_cores}")
    return found


def _too_large(device: Device, budgets: Iterable[Budget]) -> list[str]:
    """Budgets that the device cannot grant."""
    free = device.memory_bytes * (1.0 - FREE_FOR_SYSTEM)
    return [
        f"the budget of {budget.limit} for {budget.title} is more than the {device.title} can "
        f"spare: about {free / 1e6:,.0f} MB of its {device.memory_bytes / 1e6:,.0f} MB"
        for budget in budgets
        if budget.name in ("rss", "peak_memory") and budget.limit.base > free
    ]


def _too_many(device: Device, threads: int) -> list[str]:
    if threads <= device.cores:
        return []
    used = counted(threads, "thread was", "threads were")
    return [f"{used} used, the {device.title} has {counted(device.cores, 'core')}"]
