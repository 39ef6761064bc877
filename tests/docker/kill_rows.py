"""One disturbance of a deployment, done: what was disturbed when, and what was seen then."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tests.docker.kills import Answers, Lane, Workstation, full, room
from tinytx.bundle import Bundle
from tinytx.release.states import STATES

CAUSES = (
    "process killed", "container killed", "network cut", "disk full", "workstation killed",
)  # fmt: skip
TIMES = ("once", "twice")
GIVES_UP = 18.0
"""Seconds after which ssh has noticed that the network is gone."""
Key = tuple[str, str, str]
KEYS: list[Key] = [(state, cause, times) for times, cause, state in product(TIMES, CAUSES, STATES)]
"""In their order on each device: a release is committed before one is taken back by hand."""
RECOVERY = {
    "watched": "watched begin after",
    "committed": "committed done before",
    "rolled-back": "rolled-back done before",
}
"""Where a second kill comes: at the line that whoever recovers writes; else "rolled-back"."""


@dataclass
class Seen:
    """What a row left, and what was heard meanwhile."""

    chain: str = ""
    """The states of the release, in the journal's order; ``~`` after one that was not done."""
    served: str = ""
    """``old`` or ``new``: what ``current`` names and the service says."""
    whole: bool = False
    damage: str = ""
    """What is wrong with the journal or the store; empty for nothing."""
    code: int | None = None
    """Exit code of the workstation's last command; None for one that was killed."""
    said: str = ""
    answers: Answers = field(default_factory=Answers)
    seconds: float = 0.0


@dataclass
class Run:
    """A row under way."""

    lane: Lane
    state: str
    cause: str
    times: str
    old: str = ""
    new: str = ""
    work: Workstation | None = None

    @property
    def first(self) -> str:
        return f"{self.state} begin after"

    def words(self) -> list[str]:
        if self.state == "rolled-back":
            return ["rollback", "pi", "--reason", "a row of the table", "--json"]
        bundle = next(p for p in self.lane.bundles if Bundle(p).id == self.new)
        return self.lane.deployment(bundle)

    def begin(self, where: str) -> int:
        """Start the command, and wait until the device is at that line."""
        self.lane.hold(where)
        self.work = Workstation.start(self.lane.fleet, *self.words())
        return self.reached()

    def reached(self) -> int:
        process = self.lane.held()
        if self.state in ("watched", "committed"):  # let the service take it first
            end = time.monotonic() + 20
            while self.lane.device.shell("cat /var/lib/tinytx/serving.json").find(self.new) < 0:
                assert time.monotonic() < end, "the service does not take it"
                time.sleep(0.1)
        return process

    def do(self) -> Seen:
        lane, began = self.lane, time.monotonic()
        lane.clear()
        before = lane.settled()
        if self.state == "rolled-back" and not before["previous"]:
            lane.deployed(lane.other(before["current"]))
            before = lane.settled()
        self.old = before["current"]
        self.new = Bundle(lane.other(self.old)).id
        asked = lane.asked()
        DISTURB[self.cause](self)
        seen = Seen()
        if self.work is not None:
            seen.code, seen.said = self.work.end(), self.work.said
        lane.settled()
        lane.device.status()  # the next command of all recovers what is left
        found = lane.settled()
        found["lines"] = lane.look(before["last"])["lines"]
        time.sleep(0.5)  # a few more answers
        self.note(seen, found)
        seen.answers = lane.answers(asked)
        seen.seconds = round(time.monotonic() - began, 1)
        return seen

    def note(self, seen: Seen, found: dict[str, Any]) -> None:
        seen.chain = chain(found["lines"], self.old if self.state == "rolled-back" else self.new)
        seen.served = self.name(found["current"])
        seen.whole = found["whole"] and found["way_back_whole"]
        faults = [found["damage"], *found["aside"], "a gap" if found["gap"] else ""]
        if found["committed"] != found["current"]:
            faults.append(f"committed is {found['committed']}")
        seen.damage = "; ".join(filter(None, faults))

    def name(self, release: str) -> str:
        return {self.old: "old", self.new: "new"}.get(release, release or "nothing")

    @property
    def again(self) -> str:
        """The line of the second kill: of whoever recovers from the first."""
        if self.cause == "container killed" and self.state == "watched":
            return "rolled-back begin after"  # the service died of it, as far as it can know
        return RECOVERY.get(self.state, "rolled-back begin after")


def kill_process(run: Run) -> None:
    """Whoever wrote the line, at once."""
    process = run.begin(run.first)
    if run.times == "twice":
        run.lane.hold(run.again)
        run.lane.device.run("kill", "-KILL", str(process), user="root")
        process = run.reached()
    run.lane.device.run("kill", "-KILL", str(process), user="root")


def kill_container(run: Run) -> None:
    """Everything on the device; then it is started again."""
    run.begin(run.first)
    if run.times == "twice":
        run.lane.hold(run.again)
        run.lane.device.kill()
        run.lane.restarted()
        run.lane.held()
    run.lane.device.kill()
    run.lane.restarted()


def cut_network(run: Run) -> None:
    """Once: for longer than ssh waits. Twice: shortly, at the line before and the line after."""
    process, device = run.begin(run.first), run.lane.device
    if run.times == "twice":
        device.cut()
        run.lane.hold(f"{run.state} done before")
        run.lane.let_go(process)
        process = run.lane.held()
        device.mend()
        time.sleep(1.0)
    device.cut()
    run.lane.let_go(process)
    time.sleep(1.0 if run.times == "twice" else GIVES_UP)
    device.mend()


def fill_disk(run: Run) -> None:
    """Not a byte and not a name more, until the device has decided."""
    for _ in range(TIMES.index(run.times) + 1):
        if run.work is not None:
            found = run.lane.settled()
            if run.state == "rolled-back":  # what was taken back is put in force again
                run.lane.deployed(run.lane.other(found["current"]))
            elif found["current"] == run.new:  # the same state, of the next deployment
                run.old, run.new = run.new, run.old
            run.lane.clear()
        process = run.begin(run.first)
        full(run.lane.device)
        run.lane.let_go(process)
        assert run.work is not None
        run.work.end()
        run.lane.until(lambda f: f["served"] == f["current"] and f["whole"], "one served")
        room(run.lane.device)


def kill_workstation(run: Run) -> None:
    """It and its ssh; the device goes on alone. Twice: a second one at the same line, or at the
    next where that line is not written twice."""
    process, lane = run.begin(run.first), run.lane
    assert run.work is not None
    run.work.kill()
    if run.times == "twice":
        again = run.state in ("received", "verified", "proved")
        lane.hold(run.first if again else f"{run.state} done before")
        if again:
            lane.let_go(process)
            lane.until(lambda found: not found["busy"], "done")
            run.work = Workstation.start(lane.fleet, *run.words())
        else:
            run.work = Workstation.start(lane.fleet, "devices", "--json")
            lane.let_go(process)
        process = lane.held()
        run.work.kill()
    lane.let_go(process)
    run.work = None


DISTURB: dict[str, Callable[[Run], None]] = dict(
    zip(CAUSES, (kill_process, kill_container, cut_network, fill_disk, kill_workstation),
        strict=True)
)  # fmt: skip


def chain(lines: list[list[str]], release: str) -> str:
    """``[release, state, phase, why]`` of each line, in short."""
    told: list[str] = []
    for one, state, phase, _ in lines:
        if one != release:
            continue
        if phase == "done" and told and told[-1] == f"{state}~":
            told[-1] = state
        else:
            told.append(state if phase == "done" else f"{state}~")
    return " ".join(told)
