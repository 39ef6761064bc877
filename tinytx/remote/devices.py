"""The devices that a workstation knows: one TOML file, read and checked.

It is looked for at ``--devices FILE``, else ``$TINYTX_DEVICES``, else ``./devices.toml``, else
``~/.config/tinytx/devices.toml``. ``deploy/devices.example.toml`` shows every key.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError

SCHEMA = 1
VARIABLE = "TINYTX_DEVICES"
HERE = "devices.toml"
AT_HOME = ".config/tinytx/devices.toml"
EXAMPLE = (
    'two lines are enough for a device: [devices.pi] and host = "pi"; '
    "deploy/devices.example.toml shows every key"
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Way = Literal["systemd", "compose", "plain"]
Platform = Literal["linux/amd64", "linux/arm64"]
ARCHITECTURES: dict[str, str] = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""What ``uname -m`` says on each platform."""
Host = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_\[][A-Za-z0-9_.:@%\[\]-]{0,252}\Z")]
"""Never begins with a dash: ssh would take it for an option."""
Folder = Annotated[str, Meta(pattern=r"\A(/|~/)[^\x00-\x1f]{0,4000}\Z")]
"""On the device; ``~/`` is the home of the user there."""
Words = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f]{1,4000}\Z")]


class Device(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One ``[devices.NAME]`` of the file."""

    host: Host
    """What ssh is given: a host, USER@HOST, or an alias of ``~/.ssh/config``."""
    way: Way = "systemd"
    """How tinytx runs there: "systemd" or "compose" as ``deploy/prepare.sh`` sets them up, or
    "plain", a tinytx of one's own."""
    tinytx: Words = "tinytx"
    """The path of the command on the device, for the way "plain"."""
    store: Folder | None = None
    """The store's folder on the device, where it is not the one that the device chooses itself."""
    platform: Platform | None = None
    """What the device must be, "linux/arm64" or "linux/amd64"; another one is refused."""
    device_class: Annotated[str, Meta(pattern=r"\A[^\x00-\x1f]{0,4000}\Z")] = msgspec.field(
        name="class", default=""
    )
    """The kind of device, a name of ``bench/devices``; ``--prepare`` tells the device."""
    budgets: Annotated[str, Meta(pattern=r"\A[^\x00-\x1f]{0,4000}\Z")] = ""
    """The budgets that a release must keep there, a name of ``bench/budgets``; ``--prepare`` tells
    the device."""
    group: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{0,64}\Z")] = ""
    """``@GROUP`` on the command line means all devices of the group; ``--prepare`` tells the
    device, which then refuses what is signed for another group."""
    canary: bool = False
    """Whether a rollout to several devices begins with this one."""


class Named(msgspec.Struct, kw_only=True, frozen=True):
    """A device and what the file calls it."""

    name: str
    device: Device


def known_keys() -> list[str]:
    """What a ``[devices.NAME]`` may hold, as the file spells it."""
    return [field.encode_name for field in msgspec.structs.fields(Device)]


def devices_file(given: Path | None) -> Path:
    """Where the devices are: the first place that says so. Raises :class:`UsageError`."""
    if given is not None:
        return given
    if named := os.environ.get(VARIABLE):
        return Path(named)
    places = (Path(HERE), Path.home() / AT_HOME)
    for path in places:
        if path.exists():
            return path
    told = " nor ".join(str(path) for path in places)
    raise UsageError(
        f"no devices file: neither --devices nor ${VARIABLE} names one, "
        f"and there is neither {told}",
        EXAMPLE,
    )


def load(path: Path) -> dict[str, Device]:
    """The devices of a file by name, in its order. Raises :class:`UsageError`."""
    document = _read(path)
    _check_keys(document, ("schema", "devices"), str(path))
    if document.get("schema", SCHEMA) != SCHEMA:
        raise UsageError(f"{path}: schema must be {SCHEMA}, not {document['schema']!r}")
    tables = document.get("devices", {})
    if not isinstance(tables, dict) or not tables:
        raise UsageError(f"{path} has no [devices.NAME]", EXAMPLE)
    return {name: _device(name, table, path) for name, table in tables.items()}


def chosen(words: Sequence[str], known: dict[str, Device], path: Path) -> list[Named]:
    """The devices that names and ``@GROUP`` mean, each once. Raises :class:`UsageError`."""
    names: dict[str, None] = {}
    for word in words:
        names.update(dict.fromkeys(_meant(word, known, path)))
    return [Named(name=name, device=known[name]) for name in names]


def nearest(word: str, known: Iterable[str]) -> str:
    """A question with the nearest known word, or all of them where none is near."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"


def _meant(word: str, known: dict[str, Device], path: Path) -> list[str]:
    if word.startswith("@"):
        members = [name for name, device in known.items() if device.group == word[1:] != ""]
        if members:
            return members
        groups = sorted({device.group for device in known.values()} - {""})
        hint = nearest(word[1:], groups) if groups else "no device there has one"
        raise UsageError(f"{path} has no group {word[1:]!r}; {hint}")
    if word not in known:
        raise UsageError(f"{path} has no device {word!r}; {nearest(word, known)}")
    return [word]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", EXAMPLE) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _device(name: str, table: object, path: Path) -> Device:
    where = f"devices.{name}"
    if not NAME.fullmatch(name):
        raise UsageError(f"{path}: {name!r} is no name for a device: letters, digits, . _ - only")
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {where} must be a table: [{where}]")
    _check_keys(table, known_keys(), f"{path}: [{where}]")
    try:
        return msgspec.convert(table, Device)
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at ")
        at = key.strip("`").removeprefix("$")
        raise UsageError(f"{path}: {where}{at}: {reason[0].lower()}{reason[1:]}") from error


def _check_keys(table: dict[str, Any], known: Iterable[str], source: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise UsageError(f"{source}: unknown key {key!r}; {nearest(key, names)}")
