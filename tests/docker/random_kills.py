"""Deployments to a device, each with a SIGKILL of everything on it at a random instant.

    python -m tests.docker.random_kills BUNDLE [--number 100] [--seed 1]

Undisturbed deployments are timed; each disturbed one sends a release that the device never saw, and
is killed at a random instant of 1.1 times the last such time, workstation included. Every second one is
killed again at a random instant of its recovery. Then the device must serve the old release or the
new one, intact by hash, with a journal that is whole, and the next deployment must succeed.
Prints a line for each, and how many ended well; ends with 1 if not all did.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.docker.devices import build
from tests.docker.kill_rows import chain
from tests.docker.kills import Lane, Workstation, lane, name, pair
from tests.remote.bundles import with_file
from tinytx.bundle import Bundle

LONGER = 1.1
RECOVERY_SECONDS = 4.0
"""From a start until the service answers and the watch is at work, on a busy machine."""


@dataclass
class Ended:
    """How one of them ended."""

    number: int
    second: bool
    at: float
    """Seconds after the deployment began."""
    served: str = ""
    """``old`` or ``new``."""
    chain: str = ""
    faults: list[str] = field(default_factory=list)
    undisturbed: float = 0.0
    """Seconds of the next deployment, which was not disturbed; 0 where it had nothing to do."""

    def __str__(self) -> str:
        twice = ", and again in recovery" if self.second else ""
        well = "; ".join(self.faults) or "well"
        return (
            f"{self.number}: killed after {self.at:.2f} s{twice}: {self.served} ({self.chain}): "
            f"{well}"
        )


def disturbed(on: Lane, folder: Path, number: int, took: float, chance: random.Random) -> Ended:
    """One deployment that is killed, and the next one, which is not."""
    before = on.settled()
    base = on.bundles[number % 2]
    new = with_file(base, folder / str(number), "appendix.bin", os.urandom(100_000))
    release = Bundle(new).id
    on.texts[name(release)] = on.texts[name(Bundle(base).id)]
    ended = Ended(number, bool(number % 2), chance.uniform(0.0, LONGER * took))
    asked = on.asked()
    work = Workstation.start(on.fleet, *on.deployment(new))
    time.sleep(ended.at)
    on.device.kill()
    work.kill()
    on.restarted()
    if ended.second:
        time.sleep(chance.uniform(0.0, RECOVERY_SECONDS))
        on.device.kill()
        on.restarted()
    found = on.settled()
    ended.chain = chain(on.look(before["last"])["lines"], release)
    ended.served = {before["current"]: "old", release: "new"}.get(found["current"], "neither")
    wrong = on.answers(asked).wrong
    faults = {
        "neither the old release nor the new one is current": ended.served == "neither",
        "what is served is damaged": not found["whole"],
        f"the journal: {found['damage']}{found['aside']}": found["damage"] or found["aside"],
        "what is served is not what was committed": found["committed"] != found["current"],
        f"answers of neither release: {wrong[:2]}": bool(wrong),
    }
    ended.faults = [fault for fault, is_so in faults.items() if is_so]
    began = time.monotonic()
    done = on.fleet.tinytx(*on.deployment(new))
    if ended.served == "old":
        ended.undisturbed = time.monotonic() - began
    if done.returncode != 0 or on.look()["current"] != release:
        ended.faults.append(f"the next deployment: {done.stdout}{done.stderr}")
    return ended


def run(on: Lane, folder: Path, number: int, seed: int) -> list[Ended]:
    """So many of them, one after the other."""
    chance, found = random.Random(seed), []
    first = with_file(on.bundles[0], folder / "first", "appendix.bin", os.urandom(100_000))
    on.texts[name(Bundle(first).id)] = on.texts[name(Bundle(on.bundles[0]).id)]
    began = time.monotonic()
    on.deployed(first)
    took = time.monotonic() - began
    say(f"an undisturbed deployment: {took:.2f} s")
    for each in range(1, number + 1):
        found.append(disturbed(on, folder, each, took, chance))
        took = found[-1].undisturbed or took  # a machine that others use too is not always as fast
        say(str(found[-1]))
    return found


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image = build(folder / "wheels")
        bundles = pair(given.bundle, folder / "pair")
        with lane(folder / "workstation", image, bundles) as on:
            ended = run(on, folder, given.number, given.seed)
    well = [one for one in ended if not one.faults]
    say(f"{len(well)} of {len(ended)} well; {dict(Counter(one.served for one in ended))}")
    return 0 if len(well) == len(ended) else 1


if __name__ == "__main__":
    sys.exit(main())
