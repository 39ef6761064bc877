"""Files onto a device: only what it lacks, from where it says, as often as the network needs."""

from collections.abc import Callable
from dataclasses import dataclass

from tinytx.bundle import MANIFEST, MAX_MANIFEST_BYTES, Bundle
from tinytx.errors import BundleError, DeviceError
from tinytx.files import open_regular, read_bounded, told
from tinytx.remote import words
from tinytx.remote.answers import Missing, Offer, Received
from tinytx.remote.link import Link, limits_for
from tinytx.remote.troubles import Lost, Refused
from tinytx.wording import counted

Progress = Callable[[int, int], None]
"""Told how many bytes the device has, of how many that it lacked."""


@dataclass
class Transfer:
    """What one deployment sends to one device."""

    link: Link
    bundle: Bundle
    progress: Progress = lambda held, size: None
    files: int = 0
    """Files that were sent, whole or the rest of them."""

    def offer(self) -> Offer:
        """Give the manifest; what the device lacks of its files."""
        raw = read_bounded(self.bundle.folder / MANIFEST, MAX_MANIFEST_BYTES)
        command = words.release(self.link.named.device, "offer")
        offer = self.link.insist(command, Offer, source=raw)
        if offer.bundle != self.bundle.id:
            raise BundleError(f"{self.bundle.folder} was changed while it was sent")
        for missing in offer.missing:
            self._check(missing)
        return offer

    def _check(self, missing: Missing) -> None:
        """Whether the device asks for what there is. Raises :class:`Refused`."""
        facts, name = self.bundle.manifest.files.get(missing.name), self.link.named.name
        if facts is None or (facts.sha256, facts.size) != (missing.sha256, missing.size):
            raise Refused(f"{name} asks for a {missing.name[:100]!r} that is not ours")
        if not 0 <= missing.held <= missing.size:
            raise Refused(f"{name} holds more of {missing.name} than there is of it")

    def send(self, offer: Offer) -> None:
        """Send what is missing. Raises :class:`DeviceError` when it cannot be done."""
        size = sum(missing.size for missing in offer.missing)
        done = 0
        for missing in offer.missing:
            self._send(missing, done, size)
            done += missing.size
            self.files += 1

    def _send(self, missing: Missing, done: int, size: int) -> None:
        """One file; after a cut the device is asked where to go on."""
        waits = iter(self.link.waits)  # for the tries in a row that bring nothing further
        while (error := self._receive(missing, done, size)) is not None:
            now = self._still_missing(missing)
            if now is None:  # it arrived whole, and only the answer was lost
                return
            if now.held > missing.held:
                waits = iter(self.link.waits)
            if (pause := next(waits, None)) is None:
                raise error
            left = counted(now.size - now.held, "byte")
            self.link.note(f"{error.message}; {left} of {now.name} are left, again in {pause:g} s")
            self.link.pause(pause)
            after = self._still_missing(now)  # a part may have grown since, or have been dropped
            if after is None:
                return
            missing = after

    def _receive(self, missing: Missing, done: int, size: int) -> DeviceError | None:
        """Send what is left of a file; the error when it did not come to its end."""
        link, facts = self.link, self.bundle.manifest.files[missing.name]
        path, held = self.bundle.folder / missing.name, missing.held
        command = words.receive(link.named.device, missing.sha256, missing.size, held)
        limits = limits_for(missing.size - held)
        with told(path), open_regular(path, facts.size) as file:
            file.seek(held)
            try:
                answer = link.ask(
                    command, Received, limits, file,
                    lambda sent: self.progress(done + held + sent, size),
                )  # fmt: skip
            except Lost as error:
                return error
        return None if answer.done else _unfinished(link.named.name, missing, answer)

    def _still_missing(self, missing: Missing) -> Missing | None:
        """The file as the device lacks it now; None when it has it whole."""
        offered = self.offer().missing
        return next((file for file in offered if file.sha256 == missing.sha256), None)


def _unfinished(name: str, missing: Missing, answer: Received) -> DeviceError:
    why = f" ({answer.error})" if answer.error else ""
    return Lost(f"{name} has {answer.held:,} of {missing.size:,} bytes of {missing.name}{why}")
