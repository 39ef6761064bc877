"""What the model must keep on the device that it is for: bytes, precision, memory, a token's time.

Which precision a device loads is decided as in ``tinytx.runtime.processor``: int8 where the
processor has int8 products, float32 elsewhere. The bench judges the file that is loaded, so a
device with int8 products has room for about four times as many weights.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tinytx.bundle import Precision
from tinytx.config import MAX_PARAMETERS, Settings
from tinytx.errors import PlanError
from tinytx.fit.cost import model_bytes, next_token_ns
from tinytx.measure.policy.budgets import Budget, load_budgets
from tinytx.measure.policy.devices import FREE_FOR_SYSTEM, Device, load_device
from tinytx.runtime.processor import has_int8_products

INT8 = {"x86_64": "avx2", "aarch64": "asimddp"}
"""What a device must list for int8 products, by architecture: ``tinytx.runtime.processor``."""
MOST_BYTES = 10_000_000
"""Of the model's file, where the budgets name no size."""
SLOWER = {"Cortex-A53": 25.0, "Cortex-A72": 8.0, "Cortex-A76": 4.0}
"""How many times as long a token takes as on a server's core, about: from clocks and widths of the
pipelines, not measured on a board."""
SLOWER_ELSEWHERE = 20.0
RUNTIME_BYTES, LOADED = 40e6, 1.3
"""Of a process that runs a model: what it takes itself, and for each byte of the model's file
(docs/log/runtime.md)."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the model will run, and what it must keep there."""

    name: str
    """ "a Raspberry Pi 4 Model B", "this machine"."""
    precision: Precision
    """What is loaded there."""
    most_bytes: float
    """Of the file that is loaded."""
    most_weights: int | None
    most_memory: float
    """Of the process that runs it, in bytes."""
    most_ns: float
    """Of the next token."""
    slower: float = 1.0
    """How many times as long a token takes there as on a server's core, about."""
    reason: str
    """Why this precision, and so this size."""

    def excess(self, settings: Settings) -> str:
        """What a model of these settings would break; empty when it keeps everything."""
        size = model_bytes(settings, self.precision)
        if size > self.most_bytes:
            told = f"{size / 1e6:.2f} MB in {self.precision}"
            return f"{told}, the limit is {self.most_bytes / 1e6:g} MB"
        if self.most_weights is not None and settings.parameters > self.most_weights:
            return f"{settings.parameters:,} weights, the limit is {self.most_weights:,}"
        if (memory := RUNTIME_BYTES + LOADED * size) > self.most_memory:
            told = f"{memory / 1e6:.0f} MB of memory"
            return f"about {told}, the limit is {self.most_memory / 1e6:g} MB"
        if (token := self.next_token_ns(settings)) > self.most_ns:
            told = f"{token / 1e6:.3g} ms for the next token"
            return f"about {told}, the limit is {self.most_ns / 1e6:g} ms"
        return ""

    def next_token_ns(self, settings: Settings) -> float:
        """The next token there, about."""
        return next_token_ns(settings, self.precision, self.slower)


def target_of(device: str | None = None, budgets: Path | None = None) -> Target:
    """The device of that name (or this machine) under these budgets (or the constitution's).

    Raises :class:`UsageError` for an unknown name or a bad file.
    """
    limits = _limits(load_budgets(budgets))
    if device is None:
        return _here(limits)
    return _there(load_device(device), limits)


def _here(limits: dict[str, float]) -> Target:
    int8 = has_int8_products()
    why = "has int8 products" if int8 else "has no int8 products"
    return _target("this machine", int8, f"no --device was named, and this processor {why}", limits)


def _there(device: Device, limits: dict[str, float]) -> Target:
    needed = INT8.get(device.architecture, "")
    int8 = needed in device.features
    why = f"has {needed}, so int8 products" if int8 else f"has no int8 products ({needed})"
    free = device.memory_bytes * (1.0 - FREE_FOR_SYSTEM)
    limits = {**limits, "memory": min(limits["memory"], free)}
    slower = SLOWER.get(device.processor, SLOWER_ELSEWHERE)
    return _target(f"the {device.title}", int8, f"the {device.title} {why}", limits, slower)


def _target(
    name: str, int8: bool, why: str, limits: dict[str, float], slower: float = 1.0
) -> Target:
    precision: Precision = "int8" if int8 else "float32"
    return Target(
        name=name,
        precision=precision,
        most_bytes=limits["model_size"],
        most_weights=None if int8 else MAX_PARAMETERS,
        most_memory=limits["memory"],
        most_ns=limits["next_token_p95"],
        slower=slower,
        reason=f"{why}: it loads {precision}, so {limits['model_size'] / 1e6:g} MB in {precision}",
    )


def _limits(budgets: Sequence[Budget]) -> dict[str, float]:
    """What the budgets say of a model; without a limit what no model reaches."""
    found = {budget.name: budget.limit.base for budget in budgets}
    memory = min(found.get("rss", float("inf")), found.get("peak_memory", float("inf")))
    return {
        "model_size": found.get("model_size", float(MOST_BYTES)),
        "memory": memory,
        "next_token_p95": found.get("next_token_p95", float("inf")),
    }


def no_model(target: Target, closest: str) -> PlanError:
    """What to say when no shape keeps the device's budgets."""
    return PlanError(
        f"no model keeps the budgets of {target.name}: the smallest has {closest}",
        "raise that budget, or name another --device",
    )
