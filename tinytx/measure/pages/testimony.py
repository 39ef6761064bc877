"""What the machine was, and what it was doing before and after."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tinytx.measure.machine import throttling
from tinytx.measure.machine.facts import Machine
from tinytx.measure.machine.sensors import Frequency
from tinytx.measure.machine.watch import difference
from tinytx.measure.pages.figures import MB, told
from tinytx.measure.pages.markup import Markup, el, join
from tinytx.measure.pages.tables import facts, numbers_table
from tinytx.measure.record.report import Report
from tinytx.wording import counted

UNKNOWN = "not told"
TWICE = ("python", "versions", "counters", "frequency_khz", "temperature_millicelsius")
"""What other parts of the page say, or another fact in more detail."""
FLAGS = ("throttled", "throttled_between")
IDENTITY = (
    *("processor", "device", "architecture", "cores", "usable_cores", "cores_allowed", "features"),
    *("container", "system", "kernel", "libc", "kernel_options"),
)


def flags(value: int, missing: int = 0) -> str:
    """The Raspberry Pi's flags in words: what is so now, what has been since the firmware was last
    told to forget, and which of them (bits 0 to 3 of ``missing``) nobody tells here.
    """
    every = throttling.EVERY
    now, once = throttling.names(value & every), throttling.names(value >> 16 & every)
    parts = [f"now {now}"] if now else []
    parts += [f"before {once}"] if once else []
    if missing:
        parts = parts or [f"no {throttling.names(every & ~missing)}"]
        parts.append(f"not known: {throttling.names(missing)}")
    return f"{'; '.join(parts) or 'none'} (0x{value:x})"


def _megabytes(value: int) -> str:
    return told(value / MB, "MB")


def _degrees(value: int) -> str:
    return told(value / 1000, "°C")


def _frequency(found: Frequency) -> str:
    """The slowest and the fastest core, and how far they are held below what they could do."""
    ends = [told(khz / 1000, "MHz") for khz in (found.slowest, found.fastest) if khz is not None]
    parts = [" to ".join(dict.fromkeys(ends))] if ends else []
    if found.capped is not None and found.capped < 1.0:
        parts.append(f"capped at {found.capped:.0%}")
    return ", ".join(parts) or UNKNOWN


TELL: dict[str, Callable[[Any], str]] = {
    "memory_total": _megabytes,
    "memory_available": _megabytes,
    "swap_total": _megabytes,
    "swap_used": _megabytes,
    "group_limit": _megabytes,
    "group_peak": _megabytes,
    "temperature_millicelsius": _degrees,
    "temperatures": lambda zones: ", ".join(f"{zone} {_degrees(t)}" for zone, t in zones.items()),
    "frequency": _frequency,
    "throttled": flags,
    "group_room": _megabytes,
    "cpu_quota": lambda cores: f"{cores:g} core{'' if cores == 1.0 else 's'}",
    "load_1min": lambda value: f"{value:.2f}",
}
NAMES = {
    "usable_cores": "cores that the bench may use",
    "memory_total": "memory",
    "swap_total": "swap",
    "temperature_millicelsius": "hottest zone",
    "kernel_options": "kernel options that bear on measuring",
    "cooling": "cooling that holds the processor back",
    "throttled": "Raspberry Pi flags",
    "throttled_between": "flags since the look before",
    "throttle_sources": "what tells of throttling",
    "cpu_quota": "CPU quota",
    "group_room": "what its control groups leave",
    "cores_allowed": "affinity",
    "libc": "C library",
    "frequency": "frequencies of all cores",
    "load_1min": "load average, 1 min",
    "group_limit": "memory limit of its control groups",
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
    if field == "throttle_sources" and found == []:
        return "not known (no source)"
    if found in (None, "", [], {}, Frequency()):
        return UNKNOWN
    if field in TELL:
        return TELL[field](found)
    return _plain(found)


def fact(machine: Machine, field: str) -> str:
    """A fact of the machine as people read it; what cannot be known there says so."""
    if field == "throttled":
        missing = throttling.missing(machine.device, machine.throttle_sources)
        if machine.throttled is not None:
            return flags(machine.throttled, missing)
        return "not known" if missing else UNKNOWN
    return value(field, getattr(machine, field))


def _plain(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = dataclasses.asdict(found)
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
        _container(report),
        _identity(report.before),
        _used(report),
        _neighbours(report),
        _before_after(report),
        _during(report),
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


def _container(report: Report) -> Markup:
    """What held the bench, when it ran in a container."""
    if report.container is None:
        return Markup()
    return el("p", "; ".join([str(report.container), *report.container.notes]) + ".")


def _touches(kinds: tuple[str, ...]) -> Markup:
    return el("span", f"Makes INVALID: {' and '.join(kinds)}.", class_="quiet")


def _identity(machine: Machine) -> Markup:
    pairs = [(named(name), fact(machine, name)) for name in IDENTITY]
    return facts((name, told_) for name, told_ in pairs if told_ != UNKNOWN)


def _used(report: Report) -> Markup:
    use = report.processor_use
    if use is None:
        return el("p", "Too little time went by to tell who used the processors.", class_="quiet")
    stopped = difference(report.before.counters, report.after.counters).quota_stalled_us
    quota = "" if stopped is None else f" A CPU quota stopped it for {stopped / 1e6:.1f} s in all."
    return el(
        "p",
        f"While measuring, the bench used {use.own:.1%} of all processor time and others "
        f"{use.others:.1%}; {use.idle:.1%} was idle. The host kept {use.stolen:.1%} of the "
        f"wanted time.{quota}",
    )


def _before_after(report: Report) -> Markup:
    rows = []
    for field in (one.name for one in dataclasses.fields(report.before)):
        if field in IDENTITY or field in TWICE:
            continue
        before, after = fact(report.before, field), fact(report.after, field)
        if before == after == UNKNOWN and field not in ("governor", "throttled"):
            continue
        if field == "group_peak":  # the group may be older than the bench: a session, a container
            if before == after:
                continue
            before = f"{before}, of what ran before"
        changed = el("strong", after) if before != after else after
        rows.append((named(field), before, changed))
    return numbers_table("Before and after", ("fact", "before", "after"), rows, pairs=True)


def _neighbours(report: Report) -> Markup:
    """The programs that used the processors besides the bench."""
    rows = [(busy.name, f"{busy.cores:.2f}") for busy in report.neighbours]
    if not rows:
        return Markup()
    return numbers_table("Other programs, the busiest first", ("program", "cores"), rows, (1,))


def _during(report: Report) -> Markup:
    """The looks between the processes; only the facts that any of them could tell."""
    fields = ("frequency", "temperature_millicelsius", *FLAGS, "cooling")
    missing = throttling.missing(report.after.device, report.after.throttle_sources)

    def say(field: str, found: Any) -> str:
        known = field in FLAGS and found is not None
        return flags(found, missing) if known else value(field, found)

    looks = [
        (moment.after, *(say(field, getattr(moment, field)) for field in fields))
        for moment in report.during
    ]
    known = [n for n in range(1, 1 + len(fields)) if any(look[n] != UNKNOWN for look in looks)]
    if not known:
        return Markup()
    headings = ("after", *(named(fields[n - 1]) for n in known))
    rows = [(look[0], *(look[n] for n in known)) for look in looks]
    table = numbers_table("Looks at the machine between the processes", headings, rows)
    return el("details", el("summary", f"{counted(len(rows), 'look')} while measuring"), table)
