"""One rollout onto twenty devices, each a container with an OpenSSH server, a service and a watch.

    python -m tests.docker.twenty BUNDLE [--number 20] [--parallel 4]

The first is the canary, and on one of the others the service does not start. Asked for are:

1. the canary is committed before any other is begun; the broken one is taken back by its own watch;
   all others are committed;
2. the same command once the broken one is mended: it is committed, and no line comes into
   the journal of any other;
3. a release that the service refuses: the canary goes back, and no other is begun.

The proof on each is cut short (tests/docker/kills.py), since so many at a time on one machine could
only be INVALID. Prints a table of each call and what the machine needed; ends with 1 if anything
was otherwise.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.docker.devices import Device, Fleet, build
from tests.docker.kills import ALLOWED, SITE, install
from tests.docker.random_kills import say
from tests.serve.releases import wrong
from tinytx.bundle import Bundle

BROKEN = 7
"""The number of the device whose service does not start at first."""
DEADLINE = 30.0
"""Seconds after which it is taken back."""
NEEDED = f"{SITE}/tinytx/serve/app.py"
"""What the service does not start without."""


class Memory:
    """The most that this machine had in use at once, since the beginning, in bytes."""

    def __init__(self) -> None:
        self.before = self.least = _available()

    @contextmanager
    def watched(self) -> Iterator[None]:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.5):
                self.least = min(self.least, _available())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def most(self) -> int:
        return self.before - self.least


def _available() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say how much memory is available")


def started(fleet: Fleet, number: int) -> list[Device]:
    """So many devices, the broken one among them."""
    for each in range(number):
        canary = "canary = true\n" if each == 0 else ""
        device = fleet.start(f"d{each:02}", lines=f'group = "all"\n{canary}')
        if each == BROKEN:
            device.shell(f"mv {NEEDED} {NEEDED}.gone", user="root")
        install(device)
        device.policy(watch_seconds=2, deadline_seconds=DEADLINE if each == BROKEN else 300.0)
    return list(fleet.devices.values())


def rolled_out(fleet: Fleet, bundle: Path, parallel: int) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what is told of each device."""
    began = time.monotonic()
    done = fleet.tinytx(
        "deploy", "@all", str(bundle), "--json", "--quiet", *ALLOWED,
        "--parallel", str(parallel), "--max-failures", "2", seconds=3_000.0,
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = {one["device"]: one for one in json.loads(done.stdout)["devices"]}
    say(f"exit code {done.returncode} after {time.monotonic() - began:.1f} s")
    for name, one in told.items():
        sent = f"{one['files_sent']} files, {one['bytes_sent']:,} bytes"
        unchanged = ", unchanged" if one["unchanged"] else ""
        say(f"  {name}  {one['end']}{unchanged}  {one['seconds']:.1f} s  {sent}  {one['why']}")
    return done.returncode, told


def lines(devices: list[Device]) -> dict[str, list[dict[str, Any]]]:
    """The journal of each; none where nothing has begun."""
    found = {}
    for device in devices:
        said = device.shell("cat /var/lib/tinytx/journal 2>/dev/null || true")
        found[device.name] = [json.loads(line) for line in said.splitlines()]
    return found


def ends(told: dict[str, dict[str, Any]]) -> Counter[str]:
    return Counter(one["end"] for one in told.values())


def first(fleet: Fleet, devices: list[Device], bundle: Path, parallel: int) -> list[str]:
    """The rollout with one broken device; what was otherwise than asked for."""
    code, told = rolled_out(fleet, bundle, parallel)
    release, kept = Bundle(bundle).id, lines(devices)
    canary, broken = devices[0].name, devices[BROKEN].name
    uptime = {name: [line["uptime"] for line in found] for name, found in kept.items()}
    others = [device.name for device in devices[1:]]
    faults = {
        f"exit code {code}": code != 10,
        f"{dict(ends(told))}": ends(told)["committed"] != len(devices) - 1,
        f"{broken}: {told[broken]}": told[broken]["end"] != "rolled-back",
        "others began before the canary was committed": any(
            uptime[name][0] < uptime[canary][-1] for name in others
        ),
        "a device serves something else": any(
            device.current() != ("" if device.name == broken else release) for device in devices
        ),
    }
    return [fault for fault, is_so in faults.items() if is_so]


def again(fleet: Fleet, devices: list[Device], bundle: Path, parallel: int) -> list[str]:
    """The same command, once the broken device is mended."""
    broken = devices[BROKEN]
    broken.policy(watch_seconds=2, deadline_seconds=300)
    broken.shell(f"mv {NEEDED}.gone {NEEDED}", user="root")
    before = lines(devices)
    code, told = rolled_out(fleet, bundle, parallel)
    after = lines(devices)
    changed = [name for name in told if after[name] != before[name]]
    new = [name for name, one in told.items() if not one["unchanged"]]
    faults = {
        f"exit code {code}": code != 0,
        f"{dict(ends(told))}": ends(told)["committed"] != len(devices),
        f"not told as unchanged: {new}": new != [broken.name],
        f"journals with more lines: {changed}": changed != [broken.name],
    }
    return [fault for fault, is_so in faults.items() if is_so]


def refused(fleet: Fleet, devices: list[Device], bundle: Path, parallel: int) -> list[str]:
    """A release that no service takes: it ends at the canary."""
    before, old = lines(devices), devices[0].current()
    code, told = rolled_out(fleet, bundle, parallel)
    after, canary = lines(devices), devices[0].name
    changed = [name for name in told if after[name] != before[name]]
    faults = {
        f"exit code {code}": code != 10,
        f"{canary}: {told[canary]}": told[canary]["end"] != "rolled-back",
        f"{dict(ends(told))}": ends(told)["not begun"] != len(devices) - 1,
        f"journals with more lines: {changed}": changed != [canary],
        "a device serves something else": any(device.current() != old for device in devices),
    }
    return [fault for fault, is_so in faults.items() if is_so]


def run(folder: Path, bundle: Path, number: int, parallel: int) -> list[str]:
    """All three calls; what was otherwise than asked for."""
    bad = folder / "bad" / wrong(bundle, folder / "bad")
    image, memory, began = build(folder / "wheels"), Memory(), time.monotonic()
    faults: list[str] = []
    with memory.watched(), Fleet(folder / "workstation", image) as fleet:
        devices = started(fleet, number)
        say(f"{number} devices are up after {time.monotonic() - began:.1f} s")
        for call, release in ((first, bundle), (again, bundle), (refused, bad)):
            say(f"{call.__name__}:")
            faults += [f"{call.__name__}: {one}" for one in call(fleet, devices, release, parallel)]
    took = time.monotonic() - began
    say(f"{took:.0f} s in all; {memory.most / 1e6:,.0f} MB of memory at most")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=4)
    given = parser.parse_args()
    if given.number <= BROKEN:
        parser.error(f"--number must be more than {BROKEN}")
    with tempfile.TemporaryDirectory() as temporary:
        faults = run(Path(temporary), given.bundle, given.number, given.parallel)
    for fault in faults:
        say(f"not as it should be: {fault}")
    say("as it should be" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
