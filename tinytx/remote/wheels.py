"""Wheels for another machine, fetched here: a device may have no way to a package index."""

import base64
import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tinytx.errors import DeviceError, PrerequisiteError, os_errors_as
from tinytx.remote import words
from tinytx.remote.run import Ended, Limits, run
from tinytx.remote.troubles import last_line

NAME = "tinytx"
FETCH = Limits(total=1_800.0)
OLDEST_LIBC = 17
"""Of manylinux: 2.17."""
_LEFT_OUT = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")


def own_wheel(folder: Path) -> Path:
    """The wheel of this very tinytx: built from its checkout, or packed from its installed files.

    Raises :class:`PrerequisiteError`.
    """
    with os_errors_as(DeviceError, "write the wheel of tinytx"):
        checkout = Path(__file__).resolve().parents[2]
        if (checkout / "pyproject.toml").is_file():
            return _built(checkout, folder)
        return _packed(folder)


def download(wheel: Path, folder: Path, machine: str, python: str, libc: str) -> None:
    """What ``wheel`` needs to serve on a machine of that kind, pip included.

    ``machine`` is what ``uname -m`` says, ``libc`` the version of glibc. Raises
    :class:`DeviceError` when there is no wheel for it.
    """
    requirements = [f"{NAME}[serve] @ {wheel.resolve().as_uri()}", "pip"]
    short = ".".join(python.split(".")[:2])
    tags = platform_tags(machine, libc)
    command = words.download(requirements, str(folder), tags, short)
    ended = run(command, limits=FETCH)
    if ended.code != 0:
        raise DeviceError(
            f"pip could not fetch the wheels for {machine} and Python {short}: {_reason(ended)}",
            "is there a way to the package index from here?",
        )


def platform_tags(machine: str, libc: str) -> list[str]:
    """The tags of the wheels that a glibc of that version runs, the newest first."""
    match = re.fullmatch(r"2\.([0-9]{1,3})(?![0-9]).*", libc)
    if match is None:
        raise DeviceError(
            f"the device's C library is {libc or 'not glibc'}: there are no wheels for it",
            "Debian and Raspberry Pi OS have glibc",
        )
    minors = range(int(match[1]), OLDEST_LIBC - 1, -1)
    return [f"manylinux_2_{minor}_{machine}" for minor in minors] + [f"manylinux2014_{machine}"]


def _built(checkout: Path, folder: Path) -> Path:
    ended = run(words.build(str(checkout), str(folder)), limits=FETCH)
    found = sorted(folder.glob(f"{NAME}-*.whl"))
    if ended.code != 0 or not found:
        raise PrerequisiteError(f"pip could not build the wheel of {checkout}: {_reason(ended)}")
    return found[-1]


def _packed(folder: Path) -> Path:
    """The wheel that was installed, from its files: nothing is fetched or built."""
    here = importlib.metadata.distribution(NAME)
    records = []
    path = folder / f"{NAME}-{here.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _contents(here):
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            records.append(f"{name},sha256={digest},{len(data)}")
        record = f"{NAME}-{here.version}.dist-info/RECORD"
        archive.writestr(record, "\n".join([*records, f"{record},,"]) + "\n")
    return path


def _contents(here: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """What a wheel of it holds: no compiled files, no scripts, nothing of the installer's."""
    for file in here.files or ():
        if file.parts[0] == ".." or file.suffix == ".pyc" or file.name in _LEFT_OUT:
            continue
        yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _reason(ended: Ended) -> str:
    """What pip says is wrong, without its warnings."""
    errors = [line for line in ended.err.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].removeprefix("ERROR: ")[:300] if errors else last_line(ended.err)
