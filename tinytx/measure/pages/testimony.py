"""What the machine was, and what it was doing before and after."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from tinytx.measure.conditions import PI_NOW
from tinytx.measure.machine import Machine
from tinytx.measure.pages.course import course
from tinytx.measure.pages.figures import MB, told
from tinytx.measure.pages.markup import Markup, el, join
from tinytx.measure.pages.tables import facts, numbers_table
from tinytx.measure.report import Report
from tinytx.measure.sensors import Frequency

UNKNOWN = "not told"
TWICE = ("processor", "architecture", "python", "versions", "counters")
"""What other parts of the page say."""
IDENTITY = (
    *("processor", "device", "architecture", "cores", "usable_cores", "features"),
    *("kernel", "kernel_options", "system", "libc"),
)


def flags(value: int) -> str:
    """The Raspberry Pi's flags in words: what is so now, and what has been since boot."""
    now = [name for bit, name in PI_NOW.items() if value >> bit & 1]
    once = [name for bit, name in PI_NOW.items() if value >> (bit + 16) & 1]
    parts = [f"now {', '.join(now)}"] if now else []
    parts += [f"since boot {', '.join(once)}"] if once else []
    return f"{'; '.join(parts) or 'none'} (0x{value:x})"


def _megabytes(value: int) -> str:
    return told(value / MB, "MB")


TELL: dict[str, Callable[[Any], str]] = {
    "memory_total": _megabytes,
    "memory_available": _megabytes,
    "swap_total": _megabytes,
    "swap_used": _megabytes,
    "group_limit": _megabytes,
    "group_peak": _megabytes,
    "frequency_khz": lambda value: told(value / 1000, "MHz"),
    "temperature_millicelsius": lambda value: told(value / 1000, "°C"),
    "throttled": flags,
    "load_1min": lambda value: f"{value:.2f}",
}
NAMES = {
    "usable_cores": "cores that the bench may use",
    "memory_total": "memory",
    "swap_total": "swap",
    "frequency_khz": "frequency",
    "temperature_millicelsius": "temperature",
    "throttled": "Raspberry Pi flags",
    "cores_allowed": "affinity",
    "kernel_options": "kernel options that bear on measuring",
    "libc": "C library",
    "frequency": "frequencies of all cores",
    "cooling": "cooling that slows the processor",
    "load_1min": "load average, 1 min",
    "group_limit": "memory limit of the control group",
    "group_peak": "memory peak of the control group",
    "emulation": "signs of emulation",
    "features": "instruction sets",
    "device": "board",
}


def named(field: str) -> str:
    """A field's name as people read it."""
    return NAMES.get(field, field.replace("_", " "))


def value(field: str, found: Any) -> str:
    """A fact as people read it, whatever its kind: a field that is new here is told as well."""
    if field == "emulation" and not found:
        return "none"
    if found in (None, "", [], {}, Frequency()):
        return UNKNOWN
    if field in TELL and isinstance(found, int | float):
        return TELL[field](found)
    return _plain(found)


def _plain(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, msgspec.Struct):
        found = msgspec.structs.asdict(found)
    if isinstance(found, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in found.items())
    if isinstance(found, list | tuple):
        return ", ".join(_plain(one) for one in found)
    if isinstance(found, float):
        return f"{found:,.4g}"
    return f"{found:,}" if isinstance(found, int) else str(found)


def testimony(report: Report) -> Markup:
    """Breaches first, then who used the processor, then every fact before and after."""
    return join(
        _breaches(report),
        _identity(report.before),
        _used(report),
        course(report),
        _before_after(report),
    )


def _breaches(report: Report) -> Markup:
    if not report.breaches:
        text = "The machine kept every condition of measuring: no breach was found."
        return el("p", text, class_="good")
    items = [
        el("li", el("strong", breach.name), f": {breach.reason}. ", _touches(breach.touches))
        for breach in report.breaches
    ]
    return join(
        el("p", "The machine broke conditions of measuring:", class_="bad"),
        el("ul", *items, class_="reasons"),
    )


def _touches(kinds: tuple[str, ...]) -> Markup:
    return el("span", f"Makes INVALID: {' and '.join(kinds)}.", class_="quiet")


def _identity(machine: Machine) -> Markup:
    return facts((named(name), value(name, getattr(machine, name))) for name in IDENTITY)


def _used(report: Report) -> Markup:
    use = report.processor_use
    if use is None:
        return el("p", "Too little time went by to tell who used the processors.", class_="quiet")
    return el(
        "p",
        f"While measuring, the bench used {use.own:.1%} of all processor time and others "
        f"{use.others:.1%}; {use.idle:.1%} was idle. The host kept {use.stolen:.1%} of the "
        "wanted time.",
    )


def _before_after(report: Report) -> Markup:
    rows = []
    for field in report.before.__struct_fields__:
        if field in IDENTITY or field in TWICE:
            continue
        before = value(field, getattr(report.before, field))
        after = value(field, getattr(report.after, field))
        if before == after == UNKNOWN and field not in ("governor", "throttled"):
            continue
        changed = el("strong", after) if before != after else after
        rows.append((re.sub("^.", lambda m: m[0], named(field)), before, changed))
    return numbers_table("Before and after", ("fact", "before", "after"), rows, (1, 2))
