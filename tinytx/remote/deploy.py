"""One release onto one device: asked, sent, proved there, switched to, and watched from afar.

The device decides: from the switch on it commits or goes back by itself, whether anybody watches
or not. A command without an answer may have done its work, so the device is asked what is so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tinytx.bundle import Bundle
from tinytx.errors import DeviceError, TinytxError
from tinytx.release.states import FINAL, ON_TRIAL, STATES, State
from tinytx.remote import checks, words
from tinytx.remote.answers import Anything, Line, Status
from tinytx.remote.image import Image
from tinytx.remote.link import Link
from tinytx.remote.run import Limits, Stopped
from tinytx.remote.statement import Signer
from tinytx.remote.transfer import Transfer
from tinytx.remote.troubles import Busy, Lost, Refused, Verdict
from tinytx.wording import counted

PROVE_SECONDS = 900.0
INSTALL_SECONDS = 300.0
SETTLE_SECONDS = 300.0
"""How long a device that was switched and gave no deadline may take to decide."""
DOING: dict[State, str] = {
    "verified": "it checks every hash, signature and policy",
    "proved": "it proves the release by its own budgets",
    "switched": "it switches over",
}
GRACE_SECONDS = 30.0
LONGEST_SECONDS = 604_800.0
"""The longest deadline that a device's policy may have."""
REPEATS = 3
"""How often a step whose answer was lost is begun again."""

End = Literal["committed", "rolled-back", "failed", "interrupted", "not begun"]


class Outcome(msgspec.Struct, kw_only=True):
    """How a deployment to one device ended, and what it cost."""

    device: str
    end: End
    release: str
    state: str = ""
    """The newest state of the release on the device, as far as it was heard."""
    unchanged: bool = False
    """Whether the device served this release already."""
    why: str = ""
    remedy: str = ""
    exit_code: int = 0
    files_sent: int = 0
    bytes_sent: int = 0
    seconds: float = 0.0
    notes: list[str] = []


class _Undone(DeviceError):
    """A step died on the device, which took back what was done before it."""


@dataclass(frozen=True)
class Order:
    """What is to be deployed, and what is allowed."""

    bundle: Bundle
    envelope: bytes | None = None
    """The signed statement about the release; None for devices that trust the transport."""
    signer: Signer | None = None
    """Makes such a statement for each device."""
    allow_invalid: str = ""
    """The reason why a release that the proof cannot judge may go on."""
    image: Image | None = None
    """The image that devices of the way "compose" must run."""


@dataclass
class Reporter:
    """Told what happens, for people; each call names the device."""

    say: Callable[[str, str], None] = lambda name, text: None
    progress: Callable[[str, int, int], None] = lambda name, held, size: None


@dataclass
class Deployment:
    """One device on its way."""

    link: Link
    order: Order
    reporter: Reporter = field(default_factory=Reporter)
    state: str = ""
    before: str = ""
    """When the device's newest line about this release was written, before we came."""

    @property
    def name(self) -> str:
        return self.link.named.name

    @property
    def release(self) -> str:
        return self.order.bundle.id

    def run(self) -> Outcome:
        """Deploy; whatever the device does or says, the outcome tells it."""
        began = time.monotonic()
        outcome = Outcome(device=self.name, end="failed", release=self.release)
        transfer = Transfer(self.link, self.order.bundle, self._progress)
        self.link.note = self._say
        try:
            self._deploy(outcome, transfer)
        except Stopped:
            outcome.end, outcome.exit_code = "interrupted", 130
            outcome.why, outcome.remedy = self._left_behind(), f"tinytx devices {self.name}"
        except TinytxError as error:
            outcome.why, outcome.remedy = error.message, error.remedy
            outcome.exit_code = error.exit_code
            if isinstance(error, Verdict):  # it was not switched to, and the device keeps why
                outcome.state = "rolled-back"
        outcome.state = outcome.state or self.state
        outcome.files_sent, outcome.bytes_sent = transfer.files, self.link.sent
        outcome.seconds = round(time.monotonic() - began, 3)
        return outcome

    def _deploy(self, outcome: Outcome, transfer: Transfer) -> None:
        status = self.link.status(patient=False)
        if self.order.image is not None and self.link.named.device.way == "compose":
            self.order.image.onto(self.link)
        outcome.notes = checks.check(self.link.named, status, self.release)
        for note in outcome.notes:
            self._say(note)
        if status.serves(self.release):
            outcome.end, outcome.state, outcome.unchanged = "committed", "committed", True
            return
        line = status.line(self.release)
        self.before = line.at if line is not None else ""
        if line is not None and line.state not in FINAL:
            self.state = line.state
        if line is None or line.state not in ON_TRIAL:
            self._up_to_the_switch(status, transfer)
        self._decided(outcome)

    def _up_to_the_switch(self, status: Status, transfer: Transfer) -> None:
        named, release = self.link.named, self.release
        envelope = self._envelope(status)
        offer = transfer.offer()
        lacking = sum(missing.size - missing.held for missing in offer.missing)
        if lacking and (error := checks.room_for(named, status, lacking)):
            raise error
        files = counted(len(offer.missing), "file")
        self._say(f"it lacks {files}, {counted(lacking, 'byte')}")
        transfer.send(offer)
        self.state = "received"
        if envelope is not None:
            command = words.release(named.device, "statement", release)
            self.link.insist(command, Anything, source=envelope)
        steps: list[tuple[State, list[str], float]] = [
            ("verified", words.install(named.device, release), INSTALL_SECONDS),
            (
                "proved",
                words.prove(named.device, release, self.order.allow_invalid),
                PROVE_SECONDS,
            ),
            ("switched", words.release(named.device, "switch", release), INSTALL_SECONDS),
        ]
        for _ in range(REPEATS):
            try:
                for step in steps:
                    self._step(*step)
                return
            except _Undone as error:  # its files are there: from the first of these steps on
                undone = error
                self._say(f"{error.message}; once more")
        raise undone

    def _envelope(self, status: Status) -> bytes | None:
        if self.order.signer is not None:
            return self.order.signer.envelope(self.link.named, status)
        return self.order.envelope

    def _step(self, state: State, command: list[str], seconds: float) -> None:
        """One step; when its answer is lost the device is asked, and it is begun again if need be.

        A step that was done already can be repeated without harm.
        """
        self._say(DOING[state])
        for _ in range(REPEATS):
            try:
                self.link.ask(command, Anything, Limits(total=seconds))
                self.state = state
                return
            except Lost as error:
                lost = error
                self._say(f"{error.message}; asking what is so")
            if self._reached(state, seconds):
                self.state = state
                return
            if isinstance(lost, Busy):
                self.link.pause(self.link.waits[0])
        raise lost

    def _reached(self, state: State, seconds: float) -> bool:
        """Whether the device got so far, once it is no longer at work. Raises :class:`Refused`
        when it went back instead (which verdict it was, only the lost answer said), and
        :class:`_Undone` when that was because the step died."""
        found: list[Status] = []

        def idle() -> bool:
            found[:] = [self.link.status()]
            return found[0].lock is None

        self.link.until(idle, seconds)
        line = found[0].line(self.release)
        if line is None:
            return False
        self.state = line.state
        if line.state == "rolled-back":
            if line.at == self.before:
                return False
            if line.why.startswith("interrupted"):
                raise _Undone(f"{self.name} went back: {line.why}")
            raise Refused(f"{self.name} went back: {line.why}")
        rank = STATES.index(line.state) if line.state in STATES else -1
        reached = STATES.index(state)
        return rank > reached or (rank == reached and line.phase == "done")

    def _decided(self, outcome: Outcome) -> None:
        """Ask until the device has committed, or gone back, or its deadline has passed."""
        self._say("it watches itself, and commits the release or goes back")
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            lost, status = self._glance()
            if status is not None:
                line, way = status.line(self.release), status.deployment
                if line is not None and self._final(line, status, outcome):
                    return
                if way is not None and way.deadline_in is not None:
                    left = min(max(0.0, way.deadline_in), LONGEST_SECONDS)
                    end = time.monotonic() + left + GRACE_SECONDS
            if time.monotonic() > end:
                break
            self.link.pause(self.link.waits[0])
        if lost is not None:
            raise Lost(f"{lost.message}; {self._left_behind()}", f"tinytx devices {self.name}")
        raise DeviceError(
            f"{self.name} has not decided by its own deadline: the release is {self.state}",
            "does `tinytx release watch` run there?",
        )

    def _glance(self) -> tuple[Lost | None, Status | None]:
        """One question; what the device said, or that it said nothing this time."""
        try:
            return None, self.link.status(patient=False)
        except Lost as error:
            return error, None

    def _final(self, line: Line, status: Status, outcome: Outcome) -> bool:
        """Whether the device has decided; the outcome then says how."""
        self.state = line.state
        if line.state not in FINAL or line.phase != "done":
            return False
        if line.state == "committed":
            outcome.end = "committed"
            return True
        outcome.end, outcome.exit_code = "rolled-back", DeviceError.exit_code
        back = f"; it serves {status.current[:12]}" if status.current else ""
        outcome.why = f"{self.name} went back: {line.why}{back}"
        return True

    def _left_behind(self) -> str:
        """What the device is left with when nobody asks any more."""
        if self.state in ON_TRIAL:
            return f"the release is {self.state} on {self.name}, which commits it or goes back"
        got = f"the release is {self.state}" if self.state else "nothing was changed"
        return f"{got} on {self.name}, which serves what it served; the same command goes on there"

    def _say(self, text: str) -> None:
        self.reporter.say(self.name, text)

    def _progress(self, held: int, size: int) -> None:
        self.reporter.progress(self.name, held, size)
