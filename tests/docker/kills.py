"""Devices that are disturbed at stated lines of their journal, and what they are like afterwards.

A lane is one device with two releases, a client that asks its service all the time, and a module
beside tinytx that holds whoever writes a stated line (device/hold.py). One device serves many rows.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.docker.devices import STORE, Device, Fleet, docker
from tests.serve.releases import another
from tinytx.bundle import Bundle

HERE = Path(__file__).parent / "device"
PYTHON = "/opt/tinytx/bin/python"
FOLDER = "/var/tmp/hold"
ASKED = "/var/tmp/asked"
SITE = "/opt/tinytx/lib/python3.11/site-packages"
PROOF = f"{SITE}/tinytx/release/prove.py"
ALLOWED = ("--allow-invalid", "other tests run on this machine")
WAIT = 90.0
SHORTER = {"42.0": "0.2"}
"""Seconds of a proof: it ends at once, and what it could not show is INVALID, which is allowed."""


def pair(bundle: Path, folder: Path) -> list[Path]:
    """A bundle and another one that says something else."""
    return [bundle, folder / another(bundle, folder, seed=3)]


@dataclass
class Answers:
    """What the client heard in some time."""

    right: int = 0
    """Answers of one release or the other, with the text that is its own."""
    wrong: list[str] = field(default_factory=list)
    """Answers that neither of them gives."""
    failed: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    """Seconds between two right answers."""


@dataclass
class Lane:
    """A device and its workstation, its two releases, and the client that asks."""

    fleet: Fleet
    device: Device
    bundles: list[Path]
    texts: dict[str, str] = field(default_factory=dict)
    """What each release says to the client's prompt, by the model's name."""

    @property
    def ids(self) -> list[str]:
        return [Bundle(path).id for path in self.bundles]

    def prepare(self, **policy: Any) -> None:
        """Both releases were served once, so that both are there and the client knows them."""
        install(self.device)
        self.device.policy(**{"watch_seconds": 1, "deadline_seconds": 60, **policy})
        self.ask()
        for path, release in zip(self.bundles, self.ids, strict=True):
            self.deployed(path)
            end = time.monotonic() + WAIT
            while not (said := self._texts(release)):
                assert time.monotonic() < end, self.device.log()
                time.sleep(0.2)
            self.texts[name(release)] = said[-1]
        assert len(set(self.texts.values())) == len(self.bundles), self.texts

    def _texts(self, release: str) -> list[str]:
        rows = map(json.loads, self.device.shell(f"tail -n 3 {ASKED}").splitlines())
        return [text for _, _, model, text in rows if model == name(release)]

    def deployed(self, bundle: Path) -> None:
        """An undisturbed deployment."""
        done = self.fleet.tinytx(*self.deployment(bundle))
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.device.log()[-3000:]}"

    @staticmethod
    def deployment(bundle: Path) -> list[str]:
        """The command that a person gives."""
        return ["deploy", "pi", str(bundle), "--json", *ALLOWED]

    def other(self, release: str) -> Path:
        """The release to deploy where ``release`` is served."""
        return self.bundles[1 - self.ids.index(release)]

    def ask(self, pause: float = 0.2) -> None:
        """Let the client ask from now on; it ends with the device."""
        docker(
            "exec", "--detach", "--user", "root", self.device.container, PYTHON, "-IS",
            "/var/tmp/asking.py", ASKED, str(pause),
        )  # fmt: skip

    def asked(self) -> int:
        """How many lines the client has written."""
        return int(self.device.shell(f"cat {ASKED} 2>/dev/null | wc -l"))

    def answers(self, since: int) -> Answers:
        """What the clients heard after that many lines."""
        heard, times = Answers(), []
        for line in self.device.shell(f"tail -n +{since + 1} {ASKED}").splitlines():
            began, seconds, model, text = json.loads(line)
            if not model:
                heard.failed.append(text)
            elif self.texts.get(model) != text:
                heard.wrong.append(f"{model}: {text!r}")
            else:
                times.append(began + seconds)
        times.sort()
        heard.right = len(times)
        gaps = [later - one for one, later in itertools.pairwise(times)]
        heard.longest_gap = max(gaps, default=0.0)
        return heard

    def look(self, since: int = 0) -> dict[str, Any]:
        """What the store is like (device/look.py)."""
        said = self.device.run(PYTHON, "-I", "/var/tmp/look.py", str(since))
        found: dict[str, Any] = json.loads(said)
        return found

    def hold(self, where: str) -> None:
        """Whoever writes this line next is held: ``STATE PHASE before|after``."""
        self.device.shell(f"cd {FOLDER}; rm -f reached; echo {where} >.at; mv .at at")

    def held(self, seconds: float = WAIT) -> int:
        """Wait until somebody is held; its process id."""
        script = (
            f"i=0; until [ -e {FOLDER}/reached ]; do sleep 0.05; i=$((i+1)); "
            f"[ $i -lt {int(seconds * 20)} ] || exit 1; done; cat {FOLDER}/reached"
        )
        return int(self.device.shell(script))

    def let_go(self, process: int) -> None:
        self.device.shell(f"touch {FOLDER}/go.{process}")

    def clear(self) -> None:
        self.device.shell(f"rm -f {FOLDER}/*")

    def restarted(self) -> None:
        """After a kill of the device: it and the client run again."""
        self.device.start()
        self.ask()

    def until(self, so: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Look until something is so."""
        end = time.monotonic() + WAIT
        while not so(found := self.look()):
            assert time.monotonic() < end, f"not {what}: {found}"
            time.sleep(0.3)
        return found

    def settled(self) -> dict[str, Any]:
        """Wait until nothing is on its way, and the service is on what ``current`` names."""

        def so(found: dict[str, Any]) -> bool:
            done = not (found["on_trial"] or found["busy"])
            return done and found["served"] == found["current"]

        return self.until(so, "settled")


def install(device: Device) -> None:
    """The module that holds, the client, and a shorter proof."""
    for name in ("hold.py", "asking.py", "look.py"):
        docker("cp", str(HERE / name), f"{device.container}:/var/tmp/{name}")
    edits = " ".join(f"-e 's/^SECONDS = {old}/SECONDS = {new}/'" for old, new in SHORTER.items())
    device.shell(
        f"mv /var/tmp/hold.py {SITE}/tinytx_hold.py; echo import tinytx_hold >{SITE}/hold.pth; "
        f"mkdir -p {FOLDER}; chown tinytx {FOLDER}; sed -i {edits} {PROOF}",
        user="root",
    )
    for service in ("serve", "watch"):
        device.kill_processes(f"tinytx.*{service}")  # they start again, with that module


def name(release: str) -> str:
    """What the service calls the model of a release."""
    return f"tinytx-{release[:12]}"


@contextmanager
def lane(folder: Path, image: str, bundles: list[Path], *options: str) -> Iterator[Lane]:
    """A device on a network of its own."""
    with Fleet(folder, image) as fleet:
        made = Lane(fleet, fleet.start("pi", *options), bundles)
        made.prepare()
        yield made


@dataclass
class Workstation:
    """The command that a person gave, as a process group that can be killed whole."""

    process: "subprocess.Popen[str]"
    said: str = ""
    code: int | None = None
    """None while it runs, and for ever if it was killed."""

    @classmethod
    def start(cls, fleet: Fleet, *words: str) -> "Workstation":
        process = subprocess.Popen(
            fleet._words(words), env=fleet.environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        return cls(process)

    def kill(self) -> None:
        """It and every ssh of it: those are of groups of their own."""
        for child in _children(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def end(self, seconds: float = 180.0) -> int:
        """Wait until it has ended; its exit code."""
        if self.code is None:
            out, err = self.process.communicate(timeout=seconds)
            self.code, self.said = self.process.returncode, out + err
        return self.code


def _children(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            facts = re.sub(r"\(.*\)", "", path.read_text()).split()
            if int(facts[2]) == process:
                found += [int(facts[0]), *_children(int(facts[0]))]
    return found


def full(device: Device) -> None:
    """Not a byte and not a name more."""
    device.shell(
        f"cd {STORE}; mkdir -p fill; head -c 1G /dev/zero >fill/bytes 2>/dev/null; "
        "i=0; while : >fill/$i; do i=$((i+1)); done 2>/dev/null; true",
        check=False,
    )


def room(device: Device) -> None:
    device.shell(f"rm -rf {STORE}/fill")
