"""Each breach touches exactly the figures that it makes meaningless; a normal machine has none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure.machine.conditions import (
    breaches,
    open_questions,
    processor_use,
    quota,
    touching,
    waiting,
)
from tinytx.measure.machine.facts import Machine, observe
from tinytx.measure.machine.watch import Observation

Tree = Callable[..., Path]

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
DRIVER = "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"
HEAT = "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"


def stat(busy: int, idle: int, stolen: int = 0) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 {stolen} 0 0\ncpu0 1\ncpu1 1\n"


def own(ticks: int) -> str:
    return f"42 (python) R 1 1 1 0 -1 4194304 1 1 1 1 {ticks} 0 0 0 20 0 1 0\n"


Changes = dict[str, str | None]


def looks(tree: Tree, name: str, before: Changes, after: Changes) -> tuple[Machine, Machine]:
    architecture = "x86_64" if name == "vm" else "aarch64"
    calm_before = {"proc/stat": stat(1000, 9000), "proc/self/stat": own(0)}
    calm_after = {"proc/stat": stat(2000, 10000), "proc/self/stat": own(900)}
    return (
        observe(tree(name, {**calm_before, **before}), architecture),
        observe(tree(name, {**calm_after, **after}), architecture),
    )


def touched(pair: tuple[Machine, Machine]) -> dict[str, bool]:
    found = breaches(*pair)
    return {kind: bool(touching(found, kind)) for kind in ("latency", "memory")}


SMALL = {"proc/self/stat": own(600)}  # what is left for the bench
NOTHING = {"latency": False, "memory": False}
LATENCY = {"latency": True, "memory": False}
BOTH = {"latency": True, "memory": True}


@pytest.mark.parametrize(
    ("machine", "before", "after", "expected"),
    [
        ("vm", {}, {}, NOTHING),
        ("pi4", {}, {}, NOTHING),
        ("qemu", {}, {}, BOTH),
        ("pi4", {THROTTLED: "4"}, {THROTTLED: "0"}, LATENCY),  # throttled before
        ("pi4", {THROTTLED: "0"}, {THROTTLED: "1"}, LATENCY),  # under-voltage after
        ("pi4", {THROTTLED: "0"}, {THROTTLED: "40000"}, LATENCY),  # happened in between
        ("pi4", {THROTTLED: "50000"}, {THROTTLED: "50000"}, NOTHING),  # long ago
        ("vm", {HEAT: "0"}, {HEAT: "3"}, LATENCY),
        ("vm", {HEAT: "3"}, {HEAT: "3"}, NOTHING),
        ("pi4", {GOVERNOR: "powersave"}, {GOVERNOR: "powersave"}, LATENCY),
        ("vm", {GOVERNOR: "powersave", DRIVER: "intel_pstate"}, {}, NOTHING),
        ("vm", {}, {"proc/vmstat": "pswpin 10\npswpout 20000\n"}, BOTH),
        ("vm", {}, {"proc/vmstat": "pswpin 60\npswpout 60\n"}, NOTHING),  # housekeeping
        ("vm", {}, {"proc/loadavg": "9.0 9.0 9.0 1/1 1\n"}, NOTHING),  # a build just before
        ("vm", {}, {"proc/stat": stat(2950, 9050), **SMALL}, LATENCY),  # neighbours
        ("vm", {}, {"proc/stat": stat(2950, 9050)}, NOTHING),  # one on the other core
        ("vm", {}, {"proc/stat": stat(1950, 9050)}, NOTHING),  # busy with the bench itself
        ("vm", {}, {"proc/stat": stat(2400, 9600)}, NOTHING),  # others, but idle time is left
        ("vm", {}, {"proc/stat": stat(2000, 9900, 150)}, LATENCY),  # stolen
        ("vm", {}, {"proc/stat": stat(2000, 9900, 50)}, NOTHING),  # a normal cloud
        ("vm", {}, {"proc/self/status": "Cpus_allowed_list:\t0\n"}, LATENCY),
    ],
)
def test_a_breach_touches_exactly_its_figures(
    tree: Tree, machine: str, before: Changes, after: Changes, expected: dict[str, bool]
) -> None:
    assert touched(looks(tree, machine, before, after)) == expected


def test_reasons_speak_plainly(tree: Tree) -> None:
    pair = looks(tree, "pi4", {THROTTLED: "0"}, {THROTTLED: "50005"})
    (reason,) = touching(breaches(*pair), "latency")
    assert reason == "the Raspberry Pi reports under-voltage and throttling (0x50005)"
    pair = looks(tree, "vm", {}, {"proc/stat": stat(2950, 9050), **SMALL})
    (reason,) = touching(breaches(*pair), "latency")
    assert reason == "other programs used 68% of all processor time and left none idle"


def test_one_core_has_no_room_for_others(tree: Tree) -> None:
    one_core = {"proc/stat": stat(1990, 9010).replace("cpu1 1\n", ""), "proc/self/stat": own(850)}
    before = {"proc/stat": stat(1000, 9000).replace("cpu1 1\n", "")}
    (reason,) = touching(breaches(*looks(tree, "vm", before, one_core)), "latency")
    assert reason.startswith("other programs used 14%")


def test_a_worker_that_waits_for_a_processor_is_a_breach_of_latency() -> None:
    assert waiting([]) == waiting([None]) == waiting([0.0, 0.19]) == []
    (breach,) = waiting([0.01, None, 0.3])
    assert (breach.touches, "30% of the time" in breach.reason) == (("latency",), True)


def test_shares_of_processor_time_are_those_computed_by_hand(tree: Tree) -> None:
    after = {"proc/stat": stat(1500, 9400, 100), "proc/self/stat": own(300)}
    use = processor_use(*looks(tree, "vm", {}, after))
    assert use is not None
    assert (use.own, use.others, use.idle) == (0.3, 0.2, 0.4)
    assert use.stolen == pytest.approx(100 / 600)


def test_too_short_a_time_tells_nothing(tree: Tree) -> None:
    after = {"proc/stat": stat(1090, 9000, 5), "proc/self/stat": own(0)}
    assert processor_use(*looks(tree, "vm", {}, after)) is None


def test_a_quota_that_stopped_a_worker_while_it_sampled_is_named() -> None:
    calm, none, stopped = (100, 2_000_000_000), (None, 2_000_000_000), (400_000, 2_000_000_000)
    assert quota([calm, none, (5, 0)], 0.5) == []
    (breach,) = quota([calm, stopped, stopped], 0.5)
    assert (breach.name, breach.touches) == ("quota", ("latency",))
    assert breach.reason == "a CPU quota of 0.5 cores throttled it for 0.8 s"
    (either,) = waiting([0.5], (), 0.5)
    assert either.reason.startswith("other programs, or a CPU quota of 0.5 cores, kept the proc")
    (unnamed,) = quota([stopped], None)
    assert unnamed.reason == "a CPU quota throttled it for 0.4 s"


def test_a_flag_that_fell_and_rose_between_two_looks_counts(tree: Tree) -> None:
    one, none = (observe(tree("pi4", {THROTTLED: text}), "aarch64") for text in ("40000", "0"))
    assert breaches(one, one) == []
    told = open_questions(Observation(before=one, after=one))
    assert told == "not known: whether throttling came again, set before and never cleared"
    assert open_questions(Observation(before=none, after=none)) == ""
