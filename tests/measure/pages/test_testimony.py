"""What the machine says about itself, in words."""

import dataclasses
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tinytx.measure.machine import sensors
from tinytx.measure.machine.conditions import Use
from tinytx.measure.machine.neighbours import Busy
from tinytx.measure.machine.sensors import Frequency
from tinytx.measure.machine.watch import Moment
from tinytx.measure.pages import markdown, testimony
from tinytx.measure.record.report import Report

Read = Callable[[str], Any]


def test_the_raspberry_pi_flags_are_told_now_and_before() -> None:
    assert testimony.flags(0) == "none (0x0)"
    told = testimony.flags(0x50005)
    assert told == (
        "now under-voltage and throttling; before under-voltage and throttling (0x50005)"
    )
    assert testimony.flags(0x80000) == "before the temperature limit (0x80000)"


def test_flags_that_nobody_tells_are_neither_set_nor_unset(report: Report, read: Read) -> None:
    pi = dataclasses.replace(report.before, device="Raspberry Pi 4", throttled=0)
    volt = dataclasses.replace(pi, throttle_sources=[sensors.VOLTAGE])
    told = (
        "no under-voltage; not known: a capped frequency and throttling and the temperature limit"
    )
    assert testimony.fact(volt, "throttled") == f"{told} (0x0)"
    none = dataclasses.replace(pi, throttled=None, throttle_sources=[])
    assert testimony.fact(none, "throttled") == "not known"
    assert testimony.fact(none, "throttle_sources") == "not known (no source)"
    assert testimony.fact(pi, "throttled") == "none (0x0)"
    page = read(testimony.testimony(replace(report, before=volt, after=none)))
    assert told in page.text
    counters = report.before.counters
    look = Moment(after="memory", counters=counters, throttled=0, throttled_between=0x10000)
    page = read(testimony.testimony(replace(report, before=pi, after=volt, during=[look])))
    assert page.text.count(told) == 2  # after, and at that look
    assert "before under-voltage; not known: a capped frequency" in page.text
    assert "not known \\(no source\\)" in markdown.render(replace(report, after=none))


def test_figures_have_units_and_what_is_not_known_says_so() -> None:
    for field, found, told in (
        ("memory_available", 2_500_000_000, "2,500 MB"),
        ("frequency", Frequency(slowest=1_500_000, fastest=1_500_000), "1,500 MHz"),
        ("frequency", Frequency(), "not told"),
        ("temperatures", {"cpu": 48_000, "gpu": 50_000}, "cpu 48 °C, gpu 50 °C"),
        ("temperature_millicelsius", 48_199, "48.2 °C"),
        ("governor", "", "not told"),
        ("throttled", None, "not told"),
        ("emulation", [], "none"),
        ("features", ["avx", "fma"], "avx, fma"),
        ("load_1min", 1.849, "1.85"),
        ("a_field_of_tomorrow", {"cpu0": 1500.0, "hot": True}, "cpu0 1,500, hot yes"),
    ):
        assert testimony.value(field, found) == told, field


def test_what_changed_while_measuring_stands_out(report: Report, read: Read) -> None:
    after = dataclasses.replace(report.before, swap_used=90_000_000, governor="powersave")
    page = read(testimony.testimony(replace(report, after=after)))
    assert "90 MB" in page.text
    assert "powersave" in page.text
    assert len(page.all("strong")) == 2


def test_neighbours_and_looks_in_between_are_told(report: Report, read: Read) -> None:
    counters = report.before.counters
    looks = [
        Moment(after="memory", counters=counters, temperature_millicelsius=51_000),
        Moment(after="next token at 16", counters=counters, temperature_millicelsius=79_500,
               frequency=Frequency(slowest=600_000, fastest=1_500_000, capped=0.4)),
    ]  # fmt: skip
    changed = replace(report, during=looks, neighbours=[Busy("<make>", 1.25)])
    page = read(testimony.testimony(changed))
    for words in ("<make>", "1.25", "79.5 °C", "600 MHz to 1,500 MHz, capped at 40%", "2 looks"):
        assert words in page.text, words
    assert "Raspberry Pi flags" not in [a.get("data-label") for a in page.all("td")]
    nothing = replace(report, during=[Moment(after="memory", counters=counters)])
    assert "looks while measuring" not in testimony.testimony(nothing)


def test_who_used_the_processor_is_told(report: Report, read: Read) -> None:
    use = Use(own=0.5, others=0.25, idle=0.25, stolen=0.125)
    text = read(testimony.testimony(replace(report, processor_use=use))).text
    assert "the bench used 50.0% of all processor time and others 25.0%" in text
    assert "The host kept 12.5%" in text
    assert "quota" not in text
    before, after = (
        dataclasses.replace(
            report.before, counters=dataclasses.replace(report.before.counters, quota_stalled_us=us)
        )
        for us in (1_000, 2_701_000)
    )
    held = replace(report, processor_use=use, before=before, after=after)
    assert "A CPU quota stopped it for 2.7 s in all." in read(testimony.testimony(held)).text


def test_the_peak_of_the_group_is_told_only_where_the_bench_raised_it(
    report: Report, read: Read
) -> None:
    """The group may be a session's, whose peak is of whatever ran in it before."""
    older = dataclasses.replace(report.before, group_peak=2_000_000_000)
    same = read(testimony.testimony(replace(report, before=older, after=older)))
    assert "memory peak of the control group" not in same.text
    raised = dataclasses.replace(older, group_peak=2_500_000_000)
    page = read(testimony.testimony(replace(report, before=older, after=raised)))
    assert "2,000 MB, of what ran before" in page.text
    assert "2,500 MB" in page.text
