"""What devices say about themselves, and the way back: questions that change little or nothing."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec

from tinytx.errors import TinytxError
from tinytx.remote import checks, words
from tinytx.remote.answers import Anything, Status
from tinytx.remote.devices import Named
from tinytx.remote.link import Link
from tinytx.remote.run import Limits
from tinytx.remote.troubles import Lost, Refused

AT_ONCE = 16
"""Devices that are asked at the same time."""
ROLLBACK = Limits(total=180.0)


class Standing(msgspec.Struct, kw_only=True, frozen=True):
    """A device and what it said, or why it said nothing."""

    name: str
    host: str
    status: Status | None = None
    why: str = ""
    remedy: str = ""

    def cells(self) -> tuple[str, str, str, str, str]:
        """For a table: release, state, version, clock, trust."""
        status = self.status
        if status is None:
            return "-", "no answer", "-", "-", "-"
        current = status.current
        line = status.line(current) if current else None
        state = line.state if line else "empty"
        if (way := status.deployment) is not None:
            state = f"{way.release[:12]} {way.state}"
        return (current or "-")[:12], state, status.tinytx, self._clock(status), status.trust

    def lines(self) -> list[str]:
        """Below the table: why there is no answer, and what the device wants to say."""
        status = self.status
        if status is None:
            why = self.why.removeprefix(f"{self.name}: ")  # whoever prints them names the device
            return [why, *([f"  -> {self.remedy}"] if self.remedy else [])]
        back = [f"{line.id[:12]} is not served: {line.why}"
                for line in status.releases if line.state == "rolled-back"][-1:]  # fmt: skip
        held = [f"{status.lock} is at work on its store"] if status.lock else []
        return [*back, *held, *status.notes]

    @staticmethod
    def _clock(status: Status) -> str:
        try:
            clock = datetime.fromisoformat(status.machine.clock)
        except ValueError:
            return status.machine.clock[:25]
        clock = clock if clock.tzinfo else clock.replace(tzinfo=UTC)
        off = (clock - datetime.now(UTC)).total_seconds()
        if abs(off) <= checks.CLOCK_SECONDS:
            return "right"
        return f"{checks.told(abs(off))} {'ahead' if off > 0 else 'behind'}"


def standings(devices: Sequence[Named]) -> list[Standing]:
    """Ask all of them, many at a time; Ctrl-C ends the questions."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            return list(pool.map(lambda named: _standing(Link(named, stop)), devices))
        except BaseException:
            stop.set()
            raise


def _standing(link: Link) -> Standing:
    named = link.named
    try:
        status = link.status(patient=False)
    except TinytxError as error:
        return Standing(
            name=named.name, host=named.device.host, why=error.message, remedy=error.remedy
        )
    return Standing(name=named.name, host=named.device.host, status=status)


def roll_back(link: Link, reason: str) -> tuple[Status, Status]:
    """Take a device back to the release before: what it said before and after it.

    A lost answer is not asked for again blindly: twice would be two releases back. Raises
    :class:`DeviceError`.
    """
    before = link.status(patient=False)
    named = link.named
    try:
        link.ask(words.rollback(named.device, reason), Anything, ROLLBACK)
    except Lost as error:
        link.note(f"{error.message}; asking what is so")
        after = link.status()
        if after.current == before.current:
            raise
        return before, after
    after = link.status()
    if before.current is not None and after.current == before.current:
        raise Refused(f"{named.name} still serves {before.current[:12]}")
    return before, after
