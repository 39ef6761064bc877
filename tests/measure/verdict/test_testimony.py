"""Recorded machines that something is wrong with, end to end: each breach makes exactly the budgets
that it touches INVALID, with its reason, and no machine that is merely busy or old is accused.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tinytx.bundle import FileFacts, Manifest, TrainingRecord
from tinytx.measure.machine.conditions import all_breaches
from tinytx.measure.machine.watch import Observation, Watch
from tinytx.measure.memory.process import Resident
from tinytx.measure.policy.budgets import Row, Verdict, load_budgets
from tinytx.measure.policy.scenarios import NextToken, Scenarios
from tinytx.measure.record.protocol import Answer, Phases
from tinytx.measure.record.report import ProcessRun, Scenario
from tinytx.measure.verdict.judging import judge_all

Tree = Callable[..., Path]
Files = dict[str, str | None]

LATENCY = {"next_token_p95"}
MEMORY = {"rss", "peak_memory"}
FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
CPU = "sys/devices/system/cpu"
ZONE, FAN = "sys/class/thermal/thermal_zone0", "sys/class/thermal/cooling_device0"


def stat(busy: int, idle: int, stolen: int = 0) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 {stolen} 0 0\ncpu0 1\ncpu1 1\n"


def process(
    number: int, name: str, ticks: int, parent: int = 1, start: int = 5, ended: int = 0
) -> Files:
    fields = f"R {parent} 1 1 0 -1 4194304 1 1 1 1 {ticks} 0 {ended} 0 20 0 1 0 {start} 0"
    return {f"proc/{number}/stat": f"{number} ({name}) {fields}\n"}


def own(ticks: int) -> Files:
    return {"proc/self/stat": f"42 (python) R 40 1 1 0 -1 4194304 1 1 1 1 {ticks} 0 0 0 20 0 1 0\n"}


@dataclass
class Case:
    """What a machine showed before, between and after the worker processes."""

    machine: str
    touched: set[str]
    words: str = ""
    before: Files = field(default_factory=dict)
    during: Files = field(default_factory=dict)
    after: Files = field(default_factory=dict)


HOT = {FLAGS: "e000e", f"{ZONE}/temp": "85200\n"}
HALF = {f"{CPU}/cpu1/cpufreq/scaling_max_freq": "600000\n"}
CASES = {
    "a calm Pi 4": Case("pi4", set()),
    "a calm virtual machine": Case("vm", set()),
    "a throttled Pi 4": Case("pi4", LATENCY, "throttling and the temperature limit", HOT),
    "a Pi that got hot on the way and cooled down": Case(
        "pi4",
        LATENCY,
        "a capped frequency and throttling (0x60006)",
        {},
        {FLAGS: "6"},
        {FLAGS: "60000"},
    ),
    "a Pi that was hot between two looks": Case(
        "pi4", LATENCY, "reports throttling", {FLAGS: "20000"}, {}, {FLAGS: "60000"}
    ),
    "a Pi that was throttled before and again while a worker had just ended": Case(
        "pi4", LATENCY, "reports throttling", {FLAGS: "40000"}, {FLAGS: "40004"}, {FLAGS: "40000"}
    ),
    "a Pi that was throttled before, whose driver made the firmware forget, and then again": Case(
        "pi4", LATENCY, "reports throttling", {FLAGS: "40000"}, {FLAGS: "0"}, {FLAGS: "40000"}
    ),
    "a Pi that was throttled long ago": Case("pi4", set(), "", {FLAGS: "50000"}),
    "a Pi with under-voltage": Case("pi4", LATENCY, "under-voltage (0x50001)", {FLAGS: "50001"}),
    "a Pi whose kernel hides the flags": Case(
        "pi4",
        LATENCY,
        "under-voltage",
        {FLAGS: None},
        {
            "sys/class/hwmon/hwmon0/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1\n",
        },
    ),
    "a board that the kernel cools": Case(
        "pi4",
        LATENCY,
        "slows the processor down to cool it (thermal-cpufreq-0)",
        {FLAGS: None},
        {f"{FAN}/type": "thermal-cpufreq-0\n", f"{FAN}/cur_state": "2\n"},
        {f"{FAN}/cur_state": "0\n"},
    ),
    "a fan that runs": Case(
        "pi4", set(), "", {f"{FAN}/type": "pwm-fan\n", f"{FAN}/cur_state": "3"}
    ),
    "an idle injector that is off": Case(
        "vm", set(), "", {f"{FAN}/type": "intel_powerclamp\n", f"{FAN}/cur_state": "-1\n"}
    ),
    "a hot x86": Case(
        "vm",
        LATENCY,
        "because of heat (7 times)",
        {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "0"},
        {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "7"},
    ),
    "powersave on the second core alone": Case(
        "pi4", LATENCY, "powersave", {f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave\n"}
    ),
    "powersave on a core that is not used": Case(
        "pi4", set(), "", {f"{CPU}/cpu7/cpufreq/scaling_governor": "powersave\n"}
    ),
    "a powersave that adapts": Case(
        "vm",
        set(),
        "",
        {
            f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{CPU}/cpu0/cpufreq/scaling_driver": "amd-pstate-epp\n",
        },
    ),
    "a governor that changes": Case(
        "pi4",
        LATENCY,
        "governor changed while measuring (ondemand, then performance)",
        {},
        {},
        {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n"},
    ),
    "a frequency that is capped": Case(
        "pi4",
        LATENCY,
        "capped at 40% of what",
        {**HALF, f"{CPU}/cpu1/cpufreq/cpuinfo_max_freq": "1500000\n"},
    ),
    "cores that are taken away": Case(
        "vm",
        LATENCY,
        "changed while measuring (0-1, then 0)",
        {},
        {},
        {"proc/self/status": "PPid:\t40\nCpus_allowed_list:\t0\n"},
    ),
    "a swapping machine": Case(
        "vm",
        LATENCY | MEMORY,
        "swapping (20,000 pages",
        {},
        {},
        {"proc/vmstat": "pswpin 10010\npswpout 10020\n"},
    ),
    "a machine that is short of memory": Case(
        "vm",
        LATENCY | MEMORY,
        "waited for memory 20% of the time",
        {
            "proc/pressure/memory": "some avg10=0.00 total=5000000\nfull total=9\n",
            "proc/uptime": "100.0 1",
        },
        {},
        {"proc/pressure/memory": "some avg10=0.00 total=9000000\n", "proc/uptime": "120.0 1"},
    ),
    "a noisy neighbour": Case(
        "vm",
        LATENCY,
        "left none idle (cores in use: cc1plus 1.2, ld 0.1)",
        process(7, "cc1plus", 50) | process(8, "ld", 0),
        process(7, "cc1plus", 700),
        {
            **process(7, "cc1plus", 1250),
            **process(8, "ld", 100),
            "proc/stat": stat(2950, 9050),
            **own(600),
        },
    ),
    "a neighbour who leaves a core": Case(
        "vm", set(), "", {}, process(7, "cc1plus", 700), {"proc/stat": stat(2400, 9600), **own(700)}
    ),
    "a host that takes time away": Case(
        "vm", LATENCY, "the host kept 25%", {}, {}, {"proc/stat": stat(1750, 9000, 250)}
    ),
    "a new QEMU": Case("qemu", LATENCY | MEMORY, "is emulated (the kernel is x86_64"),
    "an old QEMU in an old kernel, which shows the host's processor": Case(
        "vm64", LATENCY | MEMORY, "shows a AuthenticAMD processor", {"proc/sys/kernel/arch": None}
    ),
    "a QEMU that hides everything but the interrupts": Case(
        "pi4",
        LATENCY | MEMORY,
        "/proc/interrupts is an x86",
        {
            "proc/sys/kernel/arch": None,
            "proc/interrupts": " CPU0\n LOC:  9  Local timer interrupts\n",
        },
    ),
}


def good_scenarios() -> list[Scenario]:
    rest = Resident(80_000_000, 1, 1, 0)
    phases = Phases(interpreter=1, load=2, prompt=3, decode=90_000_000, at_rest=rest, separate=True)
    kinds = {
        "memory": Answer(memory=phases),
        "next_token": Answer(samples_ns=[1_000_000] * 256, waited=0.01),
    }
    return [
        Scenario(name=kind, kind=kind, length=16, processes=[ProcessRun(answer=answer)] * 3)
        for kind, answer in kinds.items()
    ]


def good_manifest() -> Manifest:
    training = TrainingRecord(
        epochs=20, epoch_seconds=[10.0] * 20, setup_seconds=1.0, complete=True, machine={}
    )
    files = {"model.onnx": FileFacts(sha256="0" * 64, size=2_000_000)}
    return cast(Manifest, SimpleNamespace(files=files, training=training, precision="float32"))


def write(root: Path, files: Files) -> None:
    for name, text in files.items():
        assert text is not None
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def watched(case: Case, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Observation:
    arm = case.machine != "vm"
    monkeypatch.setattr("platform.machine", lambda: "aarch64" if arm else "x86_64")
    start: Files = {"proc/stat": stat(1000, 9000), "proc/uptime": "100.0 1", **own(0)}
    root = tree(case.machine.removesuffix("64"), {**start, **case.before})
    watch = Watch(root)
    write(root, case.during)
    watch.glance("next token at 16")
    end: Files = {"proc/stat": stat(2000, 10000), "proc/uptime": "110.0 1", **own(900)}
    write(root, {**end, **case.after})
    return watch.finish()


@pytest.mark.parametrize("name", CASES)
def test_each_breach_makes_exactly_its_budgets_invalid(
    name: str, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    seen = watched(case, tree, monkeypatch)
    policy = Scenarios(next_token=NextToken(least_seconds=0))
    rows: list[Row] = judge_all(
        load_budgets(), good_manifest(), good_scenarios(), all_breaches(seen), seen.after, policy
    )
    verdicts = {row.budget.name: row.verdict for row in rows}
    invalid = {name for name, verdict in verdicts.items() if verdict is Verdict.INVALID}
    assert invalid == case.touched
    assert set(verdicts.values()) <= {Verdict.PASS, Verdict.INVALID}
    assert all(case.words in row.reason for row in rows if row.budget.name in invalid)


def test_a_shorter_look_at_the_same_neighbour_names_it_too(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched(CASES["a noisy neighbour"], tree, monkeypatch)
    assert [(busy.name, round(busy.cores, 2)) for busy in seen.neighbours] == [
        ("cc1plus", 1.2), ("ld", 0.1),
    ]  # fmt: skip
