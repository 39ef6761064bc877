"""Looks before, between and after, and what does not count."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tinytx.measure.machine.conditions import all_breaches
from tinytx.measure.machine.facts import Counters
from tinytx.measure.machine.throttling import Sampler
from tinytx.measure.machine.watch import Watch, difference

Tree = Callable[..., Path]
COUNTERS = st.builds(
    Counters,
    busy=st.integers(0, 2**40),
    stolen=st.integers(0, 2**40),
    memory_stall_us=st.none() | st.integers(0, 2**40),
)


@given(COUNTERS, COUNTERS, COUNTERS)
def test_differences_add_up_and_what_is_unknown_once_stays_unknown(
    a: Counters, b: Counters, c: Counters
) -> None:
    first, second, both = difference(a, b), difference(b, c), difference(a, c)
    assert first.busy + second.busy == both.busy
    assert first.stolen + second.stolen == both.stolen
    if None not in (a.memory_stall_us, c.memory_stall_us):
        assert both.memory_stall_us == (c.memory_stall_us or 0) - (a.memory_stall_us or 0)
    else:
        assert both.memory_stall_us is None


def busy(root: Path, ticks: int) -> None:
    (root / "proc/stat").write_text(f"cpu  {ticks} 0 0 0 0 0 0 0 0 0\ncpu0 1\n")


def test_what_is_discarded_is_not_counted_and_the_looks_are_kept(tree: Tree) -> None:
    root = tree("vm")
    busy(root, 1_000)
    watch = Watch(root)
    for ticks, counts in ((1_100, True), (1_900, False), (2_000, True), (2_700, False)):
        busy(root, ticks)
        watch.glance(f"at {ticks}")
        if not counts:
            watch.discard()
    seen = watch.finish()
    assert seen.elapsed().busy == 100 + 100
    assert [moment.after for moment in seen.during] == ["at 1100", "at 1900", "at 2000", "at 2700"]
    assert [b.busy - a.busy for a, b in seen.discarded] == [800, 700]


def test_a_look_between_sees_the_heat_of_that_moment(tree: Tree) -> None:
    root = tree("pi4")
    watch = Watch(root)
    zone = root / "sys/class/thermal/thermal_zone0/temp"
    zone.write_text("84000\n")
    watch.glance("first")
    zone.write_text("50000\n")
    seen = watch.finish()
    assert [moment.temperature_millicelsius for moment in seen.during] == [84_000]
    assert (seen.before.temperature_millicelsius, seen.after.temperature_millicelsius) == (
        48_199,
        50_000,
    )


def test_a_flag_that_is_soon_forgotten_is_seen_while_a_worker_runs(tree: Tree) -> None:
    root = tree("pi4")
    flags = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    with Watch(root) as watch:
        flags.write_text("40000\n")  # it rose, and the driver makes the firmware forget it
        watch._sampler.look()
        flags.write_text("0\n")
        watch.glance("memory")
        watch.glance("next token")
        seen = watch.finish()
    assert [moment.throttled for moment in seen.during] == [0, 0]
    assert [moment.throttled_between for moment in seen.during] == [0x40000, 0]
    (breach,) = [one for one in all_breaches(seen) if one.name == "throttled"]
    assert breach.reason == "the Raspberry Pi reports throttling (0x40000)"


def test_the_thread_that_watches_flags_looks_by_itself_and_ends(tree: Tree) -> None:
    root = tree("pi4")
    flags = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    sampler = Sampler(root, interval=0.01)
    flags.write_text("20002\n")
    deadline = time.monotonic() + 20.0
    while not (seen := sampler.take()) and time.monotonic() < deadline:
        time.sleep(0.01)
    sampler.stop()
    assert seen == 0x20002
    assert not [thread for thread in threading.enumerate() if thread.name == "flags"]


def test_where_there_are_no_flags_there_is_no_thread(tree: Tree) -> None:
    with Watch(tree("vm")) as watch:
        watch.glance("memory")
        assert not [thread for thread in threading.enumerate() if thread.name == "flags"]
        assert watch.finish().during[0].throttled_between is None


def test_this_machine_can_be_watched() -> None:
    watch = Watch(Path("/"))
    watch.glance("nothing")
    seen = watch.finish()
    assert seen.elapsed().uptime >= 0.0
    assert seen.during[0].counters.busy >= seen.before.counters.busy
