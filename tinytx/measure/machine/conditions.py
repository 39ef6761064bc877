"""Did the machine make a figure meaningless? Breaches of the conditions of measuring.

Each breach names the kinds of figure that it touches, and only these become INVALID. The load
average decides nothing: the bench itself raises it, and so does a build that ended just before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinytx.measure.machine import throttling
from tinytx.measure.machine.facts import Counters, Machine
from tinytx.measure.machine.neighbours import Busy
from tinytx.measure.machine.watch import Observation, difference
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
QUOTA = 0.02
"""Share of the time of sampling for which a quota may stop the worker."""
NAMED = 0.05
"""Cores that a program must have kept busy to be named."""
MIN_SECONDS = 1.0
MIN_TICKS = 100
"""A second of one core: below it the clock ticks of /proc/stat are too coarse to judge."""

DYNAMIC_POWERSAVE = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose "powersave" adapts the frequency to the load instead of holding it low."""


@dataclass(frozen=True)
class Breach:
    """A condition that was not kept."""

    name: str
    touches: tuple[str, ...]
    """"latency", "memory" or both."""
    reason: str


@dataclass(frozen=True)
class Use:
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
        ("CPU quota", cores_told(before.cpu_quota), cores_told(after.cpu_quota)),
    ):
        if a and b and a != b:
            found.append(_latency("changed", f"the {what} changed while measuring ({a}, then {b})"))
    return found


def quota(held: Iterable[tuple[int | None, int]], cores: float | None) -> list[Breach]:
    """A breach when a quota of processor time stopped a worker of the judged latency too much.

    ``held`` has for each worker the microseconds that it was stopped while it sampled, and the
    nanoseconds that its samples took. What a start of an interpreter meets touches no figure.
    """
    known = [(stopped, sampled) for stopped, sampled in held if stopped is not None and sampled]
    if not any(stopped * 1e3 / sampled > QUOTA for stopped, sampled in known):
        return []
    which = f" of {cores_told(cores)}" if cores is not None else ""
    seconds = sum(stopped for stopped, _ in known) / 1e6
    return [_latency("quota", f"a CPU quota{which} throttled it for {seconds:.2g} s")]


def cores_told(quota: float | None) -> str:
    """A quota in words; empty for none."""
    return "" if quota is None else f"{quota:g} core{'' if quota == 1.0 else 's'}"


def open_questions(testimony: Observation) -> str:
    """What nobody can say about how fast the processor was allowed to be; empty when all is known.

    No source of evidence is no evidence of health.
    """
    machine, seen = testimony.after, _flags_seen(testimony)
    if machine.throttle_sources == []:
        return "not known: whether heat or power slowed the processor (nothing here tells it)"
    told = []
    if missing := throttling.missing(machine.device, machine.throttle_sources):
        told.append(f"{throttling.names(missing)} (this kernel does not pass them on)")
    again = seen.steady & ~(seen.now | seen.risen) if seen.last is not None else 0
    if again:
        told.append(f"whether {throttling.names(again)} came again, set before and never cleared")
    return f"not known: {'; '.join(told)}" if told else ""


def waiting(
    shares: Iterable[float | None],
    neighbours: Sequence[Busy] = (),
    rival: float | None = None,
) -> list[Breach]:
    """A breach when a worker of the judged latency had to wait for a processor too much.

    Where a quota stopped it the kernel counts that as waiting too: ask :func:`quota` first. One
    that stopped the bench at other times is a ``rival`` cause: so many cores.
    """
    worst = max((share for share in shares if share is not None), default=0.0)
    if worst <= WAITED:
        return []
    who = "other programs"
    if rival is not None:
        who += f", or a CPU quota of {cores_told(rival)},"
    reason = f"{who} kept the processor from the bench {worst:.0%} of the time"
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
    if reason := _flags(testimony):
        found.append(_latency("throttled", reason))
    held = list(dict.fromkeys(device for look in testimony.looks for device in look.cooling))
    if held:
        reason = f"the kernel slows the processor down to cool it ({', '.join(held)})"
        found.append(_latency("throttled", reason))
    if elapsed.throttle_events:
        times = counted(elapsed.throttle_events, "time")
        reason = f"the processor slowed itself down because of heat ({times})"
        found.append(_latency("throttled", reason))
    return found


def _flags(testimony: Observation) -> str:
    """What the Raspberry Pi's flags say: at any look, or risen from one look to the next."""
    seen = _flags_seen(testimony)
    names = throttling.names(seen.now | seen.risen)
    every = (seen.seen or 0) | (testimony.before.throttled or 0)
    return f"the Raspberry Pi reports {names} (0x{every:x})" if names else ""


def _flags_seen(testimony: Observation) -> throttling.Tally:
    between = [moment.throttled_between for moment in testimony.during]
    return throttling.tally((look.throttled for look in testimony.looks), between)


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
