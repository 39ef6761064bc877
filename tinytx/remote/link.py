"""One device that is asked: questions, answers, and what to do when no answer comes."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

import msgspec

from tinytx.remote import words
from tinytx.remote.answers import SCHEMA, Failure, Status, parse
from tinytx.remote.devices import Named
from tinytx.remote.run import Limits, Sent, Stopped, run
from tinytx.remote.troubles import Lost, Refused, explain, failed

QUICK = Limits(total=60.0)
"""Of a question that is answered at once; a small board takes seconds to start Python."""
WAITS = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds before each further try: together longer than a device waits for a lost sender."""
SLOWEST = 20_000
"""Bytes per second: a slower connection is not waited for."""
T = TypeVar("T", bound=msgspec.Struct)


@dataclass
class Link:
    """Questions to one device. What was sent is counted, whether it arrived or not."""

    named: Named
    stop: threading.Event = field(default_factory=threading.Event)
    waits: Sequence[float] = field(default_factory=lambda: WAITS)
    note: Callable[[str], None] = lambda text: None
    """Told to whoever watches."""
    sent: int = 0
    """Bytes of files that were handed to ssh."""

    def ask(
        self,
        command: list[str],
        form: type[T],
        limits: Limits = QUICK,
        source: BinaryIO | bytes | None = None,
        progress: Sent | None = None,
    ) -> T:
        """Run one command there; its answer, whatever ssh's exit code says beside it.

        Raises :class:`Lost` when no answer came, another :class:`DeviceError` for a refusal.
        """
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        ended = run(command, stream, limits=limits, stop=self.stop, progress=progress)
        if source is not None and not isinstance(source, bytes):
            self.sent += ended.sent
        if (failure := parse(ended.out, Failure)) is not None:
            raise failed(self.named, failure)
        answer = parse(ended.out, form)
        if answer is None:
            raise explain(self.named, ended)
        return answer

    def insist(self, command: list[str], form: type[T], source: bytes | None = None) -> T:
        """The same for a question that may be asked again, as often as :attr:`waits` says."""
        for pause in self.waits:
            try:
                return self.ask(command, form, source=source)
            except Lost as error:
                self.note(f"{error.message}; asking again in {pause:g} s")
                self.pause(pause)
        return self.ask(command, form, source=source)

    def status(self, *, patient: bool = True) -> Status:
        """What the device says about itself. ``patient``: it has answered before."""
        command = words.release(self.named.device, "status")
        found = self.insist(command, Status) if patient else self.ask(command, Status)
        if found.schema != SCHEMA:
            raise Refused(
                f"{self.named.name} speaks version {found.schema} of these words, this tinytx "
                f"version {SCHEMA}",
                f"the same tinytx on both: tinytx deploy --prepare {self.named.name}",
            )
        return found

    def pause(self, seconds: float) -> None:
        """Wait. Raises :class:`Stopped` when told to stop meanwhile."""
        if self.stop.wait(seconds):
            raise Stopped

    def until(self, settled: Callable[[], bool], seconds: float, every: float = 1.0) -> bool:
        """Wait until something is so; whether it was in time."""
        end = time.monotonic() + seconds
        while not settled():
            if time.monotonic() > end:
                return False
            self.pause(every)
        return True


def limits_for(size: int) -> Limits:
    """Of a transfer of so many bytes."""
    return Limits(total=120.0 + size / SLOWEST, idle=words.RECEIVE_IDLE_SECONDS + 15.0)
