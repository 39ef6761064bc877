"""A release that is taken back since the memory did not suffice says so, whoever takes it back."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.release.stores import Device
from tests.release.test_watching import quick
from tinytx import cgroup
from tinytx.release import clock, memory, recover, watching
from tinytx.release.health import Answer
from tinytx.release.store import Store

UNIT = Path(__file__).parents[2] / "deploy" / "units" / "tinytx-serve.service"
UNHEALTHY = "unhealthy 3 times in a row: health: no answer"


@pytest.fixture
def trial(device: Device) -> Device:
    """A is committed, B on trial."""
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    quick(device.root, watch=5.0, deadline=60.0)
    return device


def ended(root: Path, result: str) -> None:
    """As systemd ends the unit."""
    [line] = re.findall(r"^ExecStopPost=-/bin/sh -c '(.*)'$", UNIT.read_text("utf-8"), re.M)
    script = line.replace("$$", "$").replace("/var/lib/tinytx", str(root))
    environment = {"PATH": os.environ["PATH"], "SERVICE_RESULT": result}
    subprocess.run(["sh", "-c", script], env=environment, check=True)


def _until_a_tick_later(root: Path) -> None:
    """What the unit left is told from what follows it."""
    seconds = float((root / memory.LEFT).read_text("ascii").split()[1])
    while clock.uptime() <= seconds + 2 * memory.TICK:
        time.sleep(memory.TICK)


def dies(device: Device, result: str = "") -> None:
    """The watch sees the release healthy, and then nobody who answers."""
    looks = 0

    def ask(address: str, path: str, **options: object) -> Answer:
        nonlocal looks
        looks += path == "/health"
        if looks < 3:
            good = {"status": "ok", "release": device.id("B"), "choices": [{}]}
            return Answer(200, good, "")
        if looks == 3 and result:
            ended(device.root, result)
        return Answer(0, {}, "no answer within 5 s")

    watching.decide(Store(device.root), pause=0.01, ask=ask)


def test_the_unit_leaves_word_of_an_exhausted_memory_and_the_reason_says_it(trial: Device) -> None:
    dies(trial, "oom-kill")
    assert trial.current == "A"
    assert trial.why("B") == f"{memory.KILLED}: {UNHEALTHY} within 5 s"


@pytest.mark.parametrize("result", ["success", "signal", "exit-code", "watchdog"])
def test_another_end_of_the_unit_is_not_taken_for_it(trial: Device, result: str) -> None:
    dies(trial, result)
    assert not (trial.root / memory.LEFT).exists()
    assert trial.why("B") == f"{UNHEALTHY} within 5 s"


@pytest.mark.parametrize("left", ["before", "{boot} 0.0", "other 9e9", "", "x", "{boot} x\n\0"])
def test_an_exhausted_memory_before_the_switch_or_of_another_boot_is_no_reason(
    device: Device, left: str
) -> None:
    device.deploy("A")
    if left == "before":
        ended(device.root, "oom-kill")
        _until_a_tick_later(device.root)
    else:
        (device.root / memory.LEFT).write_text(left.format(boot=clock.boot()))
    device.prepare("B")
    device.switch("B")
    quick(device.root, watch=5.0, deadline=60.0)
    dies(device)
    assert device.why("B") == f"{UNHEALTHY} within 5 s"


def test_a_service_that_starts_again_after_an_exhausted_memory_says_it(trial: Device) -> None:
    told = {"release": trial.id("B"), "pid": 1, "boot": clock.boot(), "since": 1}
    (trial.root / "serving.json").write_text(json.dumps(told))
    ended(trial.root, "oom-kill")
    [words] = recover.at_service_start(trial.root)
    assert words.endswith(f"was rolled back: {memory.KILLED}: {recover.DIED}")
    assert trial.why("B") == f"{memory.KILLED}: {recover.DIED}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 31\noom 2\noom_kill {}\noom_group_kill 0\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
    ],
    ids=["version 2", "version 1"],
)
@pytest.mark.parametrize("kills", [4, 5])
def test_a_kill_that_the_services_own_group_counts_under_the_watch_is_the_reason(
    trial: Device, tmp_path: Path, name: str, text: str, kills: int
) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / name).write_text(text.format(4))
    told = {"group": str(group), "inode": group.stat().st_ino}
    (trial.root / "serving.json").write_text(json.dumps(told))
    assert memory.kills(Store(trial.root)) == 4
    watching._take_up(Store(trial.root), Store(trial.root).journal("test"))
    (group / name).write_text(text.format(kills))
    entries = Store(trial.root).journal("test").entries()
    why = memory.explained(Store(trial.root), entries, trial.id("B"), "x")
    assert why == (f"{memory.KILLED}: x" if kills > 4 else "x")
    told["inode"] += 1  # another group of that name: what it counts is not the service's
    (trial.root / "serving.json").write_text(json.dumps(told))
    assert memory.explained(Store(trial.root), entries, trial.id("B"), "x") == "x"


def test_a_process_names_its_own_group_of_memory() -> None:
    found = memory.group()
    chain = cgroup.find_chain("memory")
    assert (chain is None) == (found == {})
    if chain is not None:
        assert Path(found["group"]).stat().st_ino == found["inode"]
