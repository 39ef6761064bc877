"""A device is set up from here: ``deploy/prepare.sh`` over ssh, with wheels beside it."""

import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tinytx.errors import UsageError
from tinytx.remote import wheels, words
from tinytx.remote.answers import Probe
from tinytx.remote.checks import OLDEST_PYTHON, numbers
from tinytx.remote.devices import ARCHITECTURES, Device, Named
from tinytx.remote.image import Image
from tinytx.remote.link import Link
from tinytx.remote.run import Ended, Limits, run
from tinytx.remote.troubles import Refused, explain, last_line

RUN = Limits(total=3_600.0, idle=120.0)
DONE = "prepare: done"
"""The last line of a preparation that came to its end: ssh's exit code is no evidence of it."""
SCRIPT = "prepare.sh"
_ITS_OWN = re.compile(r"prepare: (?!\d+: )")
"""With a number in front it is the shell that speaks: the script around it is called so too."""


@dataclass(frozen=True)
class Prepared:
    """What the device's preparation said that it changed."""

    device: str
    lines: list[str]
    sent: int
    """Bytes."""


def deploy_folder() -> Path:
    """Where ``prepare.sh`` and the units are: in the installed package, else in the checkout."""
    here = Path(__file__).resolve().parent
    for path in (here / "files", here.parents[1] / "deploy"):
        if (path / SCRIPT).is_file():
            return path
    raise UsageError("this installation of tinytx lacks deploy/prepare.sh", "reinstall tinytx")


def prepare(link: Link, image: Image | None = None) -> Prepared:
    """Set a device up, or bring its tinytx to this version. Raises :class:`DeviceError`."""
    named = link.named
    if named.device.way == "plain":
        raise UsageError(
            f'{named.name} is of the way "plain": there is nothing to prepare',
            'way = "systemd" or "compose" in the devices file',
        )
    with tempfile.TemporaryDirectory(prefix="tinytx-prepare-") as name:
        folder = Path(name)
        (folder / "wheels").mkdir()
        if named.device.way == "systemd":
            _fetch(link, folder / "wheels")
        elif image is not None:
            image.onto(link)
        parcel = folder / "parcel.tar"
        _pack(parcel, deploy_folder(), folder / "wheels")
        link.note(f"{parcel.stat().st_size:,} bytes are sent, and prepare.sh runs there")
        with parcel.open("rb") as stream:
            return _run(link, stream)


def planned(device: Device) -> Iterator[str]:
    """The commands, as a person could type them."""
    if device.way == "systemd":
        yield words.shown(words.probe(device))
        yield "# pip fetches wheels for what the device says it is into a temporary folder"
    yield words.shown(words.prepare(device), "PARCEL.tar")


def _fetch(link: Link, folder: Path) -> None:
    """The wheels for exactly this device."""
    named = link.named
    probe = link.ask(words.probe(named.device), Probe)
    wanted = named.device.platform
    if wanted is not None and probe.architecture != ARCHITECTURES[wanted]:
        raise Refused(
            f"{named.name} is {probe.architecture}, not {wanted} as the devices file says",
            "is it the right host? else write its platform there",
        )
    if numbers(probe.python)[:2] < OLDEST_PYTHON:
        least = ".".join(map(str, OLDEST_PYTHON))
        raise Refused(f"{named.name} has Python {probe.python}; {least} is the oldest")
    link.note(
        f"fetching wheels for {probe.architecture}, Python {probe.python}, glibc {probe.libc}"
    )
    wheel = wheels.own_wheel(folder)
    wheels.download(wheel, folder, probe.architecture, probe.python, probe.libc)


def _pack(parcel: Path, deploy: Path, wheel_folder: Path) -> None:
    """deploy/ and wheels/ in one archive, which names nobody of this machine."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(parcel, "w") as archive:
        archive.add(deploy, "deploy", filter=plain)
        archive.add(wheel_folder, "wheels", filter=plain)


def _run(link: Link, stream: BinaryIO) -> Prepared:
    named = link.named
    ended = run(words.prepare(named.device), stream, limits=RUN, stop=link.stop)
    lines = ended.out.decode("utf-8", "replace").splitlines()
    if not lines or lines[-1] != DONE:
        raise _refused(named, ended)
    return Prepared(named.name, lines, ended.sent)


def _refused(named: Named, ended: Ended) -> Exception:
    """prepare.sh says in one line what the device lacks."""
    said = [line for line in ended.err.splitlines() if _ITS_OWN.match(line)]
    if said:
        return Refused(f"{named.name}: {said[-1].removeprefix('prepare: ')}")
    if "sudo" in ended.err:
        return Refused(
            f"{named.name}: preparing needs root there: {last_line(ended.err)}",
            'let this user use sudo without a password, or name root: host = "root@HOST"; a device '
            'of one\'s own without root: way = "plain" (docs/deploy.md)',
        )
    return explain(named, ended)
