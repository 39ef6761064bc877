"""The page's words about what happened on the way, and about the device."""

from collections.abc import Callable
from pathlib import Path

from tinytx.measure.budgets import Verdict, load_budgets
from tinytx.measure.devices import load_device, standing
from tinytx.measure.machine import observe
from tinytx.measure.neighbours import Busy
from tinytx.measure.pages.course import course, device
from tinytx.measure.pages.html import render
from tinytx.measure.pages.testimony import value
from tinytx.measure.protocol import Answer
from tinytx.measure.report import BundleFacts, Discarded, ProcessRun, Report, Scenario
from tinytx.measure.sensors import Frequency
from tinytx.measure.watch import Moment

Tree = Callable[..., Path]


def report(tree: Tree, **changes: object) -> Report:
    machine = observe(tree("pi4"), "aarch64")
    bundle = BundleFacts(
        id="ab" * 32, path="x", files={}, parameters=1, precision="float32", bits_per_byte=1.0
    )
    plain: dict[str, object] = {
        "tinytx": "0", "started_at": "2025-01-01T00:00:00+00:00", "seconds": 1.0,
        "verdict": Verdict.PASS, "bundle": bundle, "budgets": [], "scenarios": [], "breaches": [],
        "processor_use": None, "before": machine, "after": machine, "settings": {},
    }  # fmt: skip
    return Report(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_calm_bench_without_a_device_adds_nothing(tree: Tree) -> None:
    assert course(report(tree)) == device(report(tree)) == ""


def test_programs_looks_and_what_was_thrown_away_are_told(tree: Tree) -> None:
    counters = observe(tree("pi4"), "aarch64").counters
    looks = [
        Moment(after="x", counters=counters, temperature_millicelsius=degrees, frequency=speed)
        for degrees, speed in (
            (48_000, Frequency(slowest=1_500_000)),
            (81_000, Frequency(slowest=600_000)),
        )
    ]
    thrown = Discarded(run=ProcessRun(answer=Answer()), reason="the host kept <half>")
    scenario = Scenario(
        name="at 16", kind="next_token", length=16, processes=[], discarded=[thrown]
    )
    text = course(
        report(
            tree,
            neighbours=[Busy("<b>cc1</b>", 1.25), Busy("ld", 0.5)],
            during=looks,
            scenarios=[scenario],
        )
    )
    assert "&lt;b&gt;cc1&lt;/b&gt; 1.25, ld 0.50" in text
    assert "2 looks between the processes; the hottest at 81 °C; the slowest core at 600" in text
    assert "at 16: the host kept &lt;half&gt;" in text


def test_the_page_describes_the_device_and_warns(tree: Tree) -> None:
    machine = observe(tree("vm"), "x86_64")
    found = standing(load_device("pi-4"), machine, load_budgets(), threads=1)
    page = render(report(tree, device=found))
    assert "Raspberry Pi 4 Model B: 4 x Cortex-A72 at 1,500 MHz" in page
    assert "This machine is not one." in page
    assert "<strong>another instruction set runs" in page
    assert "The device" not in render(report(tree))


def test_frequencies_that_nobody_tells_are_not_told() -> None:
    assert value("frequency", Frequency()) == "not told"
    assert "ondemand" in value("frequency", Frequency(governors=["ondemand"], slowest=1))
