"""An image onto a device that has no registry: ``docker save`` here, ``docker load`` there."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any, BinaryIO

from tinytx.errors import UsageError
from tinytx.remote import words
from tinytx.remote.answers import any_json
from tinytx.remote.devices import Platform
from tinytx.remote.link import QUICK, Link
from tinytx.remote.run import Limits, end, run
from tinytx.remote.troubles import Refused, explain, last_line

LOAD = Limits(total=3_600.0, idle=120.0)
_CONFIG = ("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Labels", "Volumes", "ExposedPorts")


@dataclass(frozen=True)
class Image:
    """An image of this machine's engine."""

    name: str
    platform: str
    """Such as "linux/arm64"."""
    contents: str
    """What makes two images the same one, in whatever store: an id differs between stores."""

    def onto(self, link: Link) -> bool:
        """Send it unless the device has it; whether it was sent. Raises :class:`DeviceError`."""
        named, device = link.named, link.named.device
        wanted: Platform | None = device.platform
        if wanted is not None and wanted != self.platform:
            raise UsageError(
                f"the image {self.name} is for {self.platform}, {named.name} is {wanted}"
            )
        there = run(words.inspect_image(device, self.name), limits=QUICK, stop=link.stop)
        known = described(there.out)
        if known is None and "No such image" not in there.err:
            raise explain(named, there)
        if known == (self.platform, self.contents):
            return False
        link.note(f"the image {self.name} is sent")
        self._send(link)
        return True

    def _send(self, link: Link) -> None:
        saved = subprocess.Popen(
            words.save_image(self.name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        assert saved.stdout is not None
        stream: BinaryIO = saved.stdout  # type: ignore[assignment]
        try:
            loaded = run(words.load_image(link.named.device), stream, limits=LOAD, stop=link.stop)
            saved.stdout.close()
            code = saved.wait(30)
        finally:
            if saved.poll() is None:
                end(saved)
        link.sent += loaded.sent
        if loaded.code != 0 or b"Loaded image" not in loaded.out:
            raise explain(link.named, loaded)
        if code != 0:  # its end was cut off: what was loaded is not the image
            raise Refused(f"`docker save {self.name}` ended with {code}; the image was not sent")


def described(out: bytes) -> tuple[str, str] | None:
    """Platform and contents of the one image that ``docker image inspect`` tells of."""
    found = any_json(out)
    if not (isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict)):
        return None
    facts: dict[str, Any] = found[0]
    config = facts.get("Config") or {}
    layers = (facts.get("RootFS") or {}).get("Layers")
    kept = {key: config.get(key) for key in _CONFIG if config.get(key)}
    contents = json.dumps([layers, kept], sort_keys=True)
    return f"{facts.get('Os')}/{facts.get('Architecture')}", contents


def load_image(name: str) -> Image:
    """An image of this machine. Raises :class:`UsageError` when there is none of that name."""
    found = run(words.inspect_image_here(name), limits=QUICK)
    known = described(found.out)
    if known is None:
        why = last_line(found.err) or f"exit code {found.code}"
        raise UsageError(f"there is no image {name} here: {why}", "docker image ls")
    return Image(name=name, platform=known[0], contents=known[1])
