"""Did the machine make a figure meaningless? Breaches of the conditions of measuring.

Each breach names the kinds of figure that it touches, and only these become INVALID. The load
average decides nothing: the bench itself raises it, and so does a build that ended just before.
"""

from collections.abc import Iterable, Sequence

import msgspec

from tinytx.measure.machine.facts import Counters, Machine
from tinytx.measure.machine.neighbours import Busy
from tinytx.measure.machine.watch import Moment, Observation, difference
from tinytx.wording import counted

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
CAPPED = 0.95
"""Share of the frequency that it was built for which a processor must be allowed to reach."""
STALLED = 0.05
"""Share of the time in which programs may wait for memory."""
NAMED = 0.05
"""Cores that a program must have kept busy to be named."""
MIN_SECONDS = 1.0
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
    return use_of(difference(before.counters, after.counters))


def use_of(elapsed: Counters) -> Use | None:
    """The same from what the counters counted."""
    total = elapsed.busy + elapsed.idle + elapsed.stolen
    if total < MIN_TICKS:
        return None
    own = min(elapsed.own, elapsed.busy)
    wanted = max(elapsed.busy + elapsed.stolen, 1)
    return Use(
        own=own / total,
        others=(elapsed.busy - own) / total,
        idle=elapsed.idle / total,
        stolen=elapsed.stolen / wanted,
    )


def breaches(before: Machine, after: Machine) -> list[Breach]:
    """Every breach that two looks at the machine, one before and one after, bring to light."""
    return all_breaches(Observation(before=before, after=after))


def all_breaches(testimony: Observation) -> list[Breach]:
    """Every breach that all looks at the machine bring to light."""
    before, after = testimony.before, testimony.after
    elapsed = testimony.elapsed()
    found = [*_emulation(before, after), *_frequency(before, after)]
    found += [*_heat(testimony, elapsed), *_swap(elapsed), *_short_of_memory(elapsed)]
    found += _contention(elapsed, after.cores, testimony.neighbours)
    for what, a, b in (
        ("processors", before.processor, after.processor),
        ("cores that may be used", before.cores_allowed, after.cores_allowed),
        ("frequency governor", before.governor, after.governor),
    ):
        if a and b and a != b:
            found.append(_latency("changed", f"the {what} changed while measuring ({a}, then {b})"))
    return found


def waiting(shares: Iterable[float | None], neighbours: Sequence[Busy] = ()) -> list[Breach]:
    """A breach when a worker of the judged latency had to wait for a processor too much."""
    worst = max((share for share in shares if share is not None), default=0.0)
    if worst <= WAITED:
        return []
    reason = f"other programs kept the processor from the bench {worst:.0%} of the time"
    return [_latency("waited", reason + _named(neighbours))]


def disturbance(elapsed: Counters, waited: float | None, cores: int) -> str:
    """Why one worker's time was not its own, when others are to blame; else an empty text.

    A worker that waits while nobody else runs is in its own way: that is its own latency. Nothing
    here looks at what was measured.
    """
    causes = [*_swap(elapsed), *_contention(elapsed, cores, ())]
    use = use_of(elapsed)
    if use and use.others + use.stolen > INTRUSION:
        causes += waiting([waited])
    return "; ".join(breach.reason for breach in causes)


def touching(found: Iterable[Breach], kind: str) -> list[str]:
    """The reasons of those breaches that touch ``kind``."""
    return [breach.reason for breach in found if kind in breach.touches]


def _latency(name: str, reason: str) -> Breach:
    return Breach(name, ("latency",), reason)


def _named(neighbours: Sequence[Busy]) -> str:
    """The busiest programs by name, for a reason."""
    told = [f"{busy.name} {busy.cores:.1f}" for busy in neighbours[:3] if busy.cores >= NAMED]
    return f" (cores in use: {', '.join(told)})" if told else ""


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
        capped = machine.frequency.capped
        if capped is not None and capped < CAPPED:
            reason = f"the frequency is capped at {capped:.0%} of what the processor was built for"
            return [_latency("governor", reason)]
    return []


def _heat(testimony: Observation, elapsed: Counters) -> list[Breach]:
    found = []
    looks: list[Machine | Moment] = [testimony.before, *testimony.during, testimony.after]
    if reason := _flags([look.throttled for look in looks]):
        found.append(_latency("throttled", reason))
    held = list(dict.fromkeys(device for look in looks for device in look.cooling))
    if held:
        reason = f"the kernel slows the processor down to cool it ({', '.join(held)})"
        found.append(_latency("throttled", reason))
    if elapsed.throttle_events > 0:
        times = counted(elapsed.throttle_events, "time")
        reason = f"the processor slowed itself down because of heat ({times})"
        found.append(_latency("throttled", reason))
    return found


def _flags(looks: list[int | None]) -> str:
    """What the Raspberry Pi's flags say: at any look, or since boot and not yet at the first."""
    known = [flags for flags in looks if flags is not None]
    if not known:
        return ""
    now = new = 0
    for flags in known:
        now |= flags & 0xF
        new |= (flags & ~known[0]) >> 16 & 0xF
    names = [name for bit, name in PI_NOW.items() if (now | new) >> bit & 1]
    every = now | new << 16 | known[0]
    return f"the Raspberry Pi reports {' and '.join(names)} (0x{every:x})" if names else ""


def _swap(elapsed: Counters) -> list[Breach]:
    pages = elapsed.swapped_pages
    if pages <= SWAPPED_PAGES:
        return []
    reason = f"the machine was swapping ({pages:,} pages while measuring)"
    return [Breach("swap", ("latency", "memory"), reason)]


def _short_of_memory(elapsed: Counters) -> list[Breach]:
    if elapsed.memory_stall_us is None or elapsed.uptime < MIN_SECONDS:
        return []
    share = elapsed.memory_stall_us / 1e6 / elapsed.uptime
    if share <= STALLED:
        return []
    reason = f"programs waited for memory {share:.0%} of the time: too little of it is free"
    return [Breach("memory", ("latency", "memory"), reason)]


def _contention(elapsed: Counters, cores: int, neighbours: Sequence[Busy]) -> list[Breach]:
    use = use_of(elapsed)
    if use is None:
        return []
    found = []
    others_may = 1.0 - 1.0 / max(cores, 1) + INTRUSION
    if 1.0 - use.idle > CROWDED and use.others > others_may:
        reason = f"other programs used {use.others:.0%} of all processor time and left none idle"
        found.append(_latency("crowded", reason + _named(neighbours)))
    if use.stolen > STOLEN:
        reason = f"the host kept {use.stolen:.0%} of the processor time for other machines"
        found.append(_latency("stolen", reason))
    return found
