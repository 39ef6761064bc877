"""Did the machine make a figure meaningless? Breaches of the conditions of measuring.

Each breach names the kinds of figure that it touches, and only these become INVALID. The load
average decides nothing: the bench itself raises it, and so does a build that ended just before.
"""

from collections.abc import Iterable

import msgspec

from tinytx.measure.machine import Machine

CROWDED = 0.95
"""Share of all processor time in use from which on programs wait for each other."""
INTRUSION = 0.10
"""Share of all processor time that others may use of the last core, when all are in use."""
WAITED = 0.20
"""Share of the time that a worker wanted a processor which it may spend waiting for one."""
STOLEN = 0.10
"""Share of the wanted processor time that the host may keep for itself."""
SWAPPED_PAGES = 256
"""Pages moved to or from swap while measuring (1 MB of 4 kB pages): less is housekeeping."""
MIN_TICKS = 100
"""A second of one core: below it the clock ticks of /proc/stat are too coarse to judge."""

DYNAMIC_POWERSAVE = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose "powersave" adapts the frequency to the load instead of holding it low."""

PI_NOW = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the temperature limit"}
"""Bits of the Raspberry Pi's flags (documentation of vcgencmd get_throttled); + 16: since boot."""


class Breach(msgspec.Struct, frozen=True):
    """A condition that was not kept."""

    name: str
    touches: tuple[str, ...]
    """"latency", "memory" or both."""
    reason: str


class Use(msgspec.Struct, frozen=True):
    """Who used the processors between two looks, as shares of all processor time."""

    own: float
    others: float
    idle: float
    stolen: float
    """Share of the wanted time (used or stolen) that the host kept."""


def processor_use(before: Machine, after: Machine) -> Use | None:
    """Who used the processors; None when too little time went by to tell."""
    a, b = before.counters, after.counters
    busy, idle, stolen = b.busy - a.busy, b.idle - a.idle, b.stolen - a.stolen
    total = busy + idle + stolen
    if total < MIN_TICKS:
        return None
    own = min(b.own - a.own, busy)
    wanted = max(busy + stolen, 1)
    return Use(own / total, (busy - own) / total, idle / total, stolen / wanted)


def breaches(before: Machine, after: Machine) -> list[Breach]:
    """Every breach that two looks at the machine, one before and one after, bring to light."""
    found = [*_emulation(before, after), *_frequency(before, after), *_heat(before, after)]
    found += [*_swap(before, after), *_contention(before, after)]
    if (before.processor, before.usable_cores) != (after.processor, after.usable_cores):
        found.append(_latency("changed", "the processors changed while measuring"))
    return found


def waiting(shares: Iterable[float | None]) -> list[Breach]:
    """A breach when a worker of the judged latency had to wait for a processor too much."""
    worst = max((share for share in shares if share is not None), default=0.0)
    if worst <= WAITED:
        return []
    reason = f"other programs kept the processor from the bench {worst:.0%} of the time"
    return [_latency("waited", reason)]


def touching(found: Iterable[Breach], kind: str) -> list[str]:
    """The reasons of those breaches that touch ``kind``."""
    return [breach.reason for breach in found if kind in breach.touches]


def _latency(name: str, reason: str) -> Breach:
    return Breach(name, ("latency",), reason)


def _emulation(before: Machine, after: Machine) -> list[Breach]:
    signs = before.emulation or after.emulation
    if not signs:
        return []
    reason = f"the processor is emulated ({signs[0]}): only function can be shown here"
    return [Breach("emulation", ("latency", "memory"), reason)]


def _frequency(before: Machine, after: Machine) -> list[Breach]:
    for machine in (before, after):
        low = machine.governor == "powersave"
        if low and machine.frequency_driver not in DYNAMIC_POWERSAVE:
            reason = "the frequency governor is powersave, which holds the processor slow"
            return [_latency("governor", reason)]
    return []


def _heat(before: Machine, after: Machine) -> list[Breach]:
    found = []
    if before.throttled is not None and after.throttled is not None:
        now = (before.throttled | after.throttled) & 0xF
        new = (after.throttled & ~before.throttled) >> 16 & 0xF
        names = [name for bit, name in PI_NOW.items() if (now | new) >> bit & 1]
        if names:
            reason = f"the Raspberry Pi reports {' and '.join(names)} (0x{after.throttled:x})"
            found.append(_latency("throttled", reason))
    events = after.counters.throttle_events - before.counters.throttle_events
    if events > 0:
        reason = f"the processor slowed itself down because of heat ({events} times)"
        found.append(_latency("throttled", reason))
    return found


def _swap(before: Machine, after: Machine) -> list[Breach]:
    pages = after.counters.swapped_pages - before.counters.swapped_pages
    if pages <= SWAPPED_PAGES:
        return []
    reason = f"the machine was swapping ({pages:,} pages while measuring)"
    return [Breach("swap", ("latency", "memory"), reason)]


def _contention(before: Machine, after: Machine) -> list[Breach]:
    use = processor_use(before, after)
    if use is None:
        return []
    found = []
    others_may = 1.0 - 1.0 / max(after.cores, 1) + INTRUSION
    if 1.0 - use.idle > CROWDED and use.others > others_may:
        reason = f"other programs used {use.others:.0%} of all processor time and left none idle"
        found.append(_latency("crowded", reason))
    if use.stolen > STOLEN:
        reason = f"the host kept {use.stolen:.0%} of the processor time for other machines"
        found.append(_latency("stolen", reason))
    return found
