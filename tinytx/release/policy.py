"""``device.toml``: what a person may say about this device and its releases."""

import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tinytx.errors import UsageError
from tinytx.files import open_waiting_for_nobody

NAME = "device.toml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LARGEST = 64_000
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Name = Annotated[str, Meta(pattern=f"^{_NAME}$")]


class Policy(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The keys of the file; each may be left out."""

    schema: Annotated[int, Meta(ge=1, le=1)] = 1
    """The form of this file."""
    channel: Name = "stable"
    """Releases of this channel are taken, and no others."""
    group: Annotated[str, Meta(pattern=f"^({_NAME})?$")] = ""
    """The group of devices that this one is of."""
    budgets: str = "constitution"
    """What a release must keep: a name of bench/budgets, or the path of a file."""
    device: str = ""
    """The class of device, of bench/devices; empty: this machine as it is."""
    health: str = "http://127.0.0.1:8765"
    """Where the service on this machine answers."""
    token_file: str = ""
    """A file with the token that the service asks for, if it does."""
    watch_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 30.0
    """A release that was healthy for so long is committed."""
    deadline_seconds: Annotated[float, Meta(ge=2, le=604_800)] = 120.0
    """One that is not committed so long after the switch is taken back."""
    keep: Annotated[int, Meta(ge=2, le=100)] = 3
    """Releases that stay in the store."""
    allow_old_clock: bool = False
    """Whether a clock that is plainly wrong lets the serial number alone decide."""


def read_policy(path: Path) -> Policy:
    """A file's policy; without a file, the defaults. Raises :class:`UsageError`."""
    try:
        with open_waiting_for_nobody(path) as file:
            document = tomllib.loads(file.read(_LARGEST).decode())
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for key in document:
        if key not in Policy.__struct_fields__:
            raise UsageError(f"{path}: unknown key {key!r}; {_nearest(key)}")
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$.")
        raise UsageError(f"{path}: {key}: {reason[0].lower()}{reason[1:]}") from error
    _check(policy, path)
    return policy


def _nearest(key: str) -> str:
    import difflib

    known = list(Policy.__struct_fields__)
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _check(policy: Policy, path: Path) -> None:
    """What no single key can tell."""
    if policy.watch_seconds >= policy.deadline_seconds:
        raise UsageError(
            f"{path}: watch_seconds ({policy.watch_seconds:g}) must be less than "
            f"deadline_seconds ({policy.deadline_seconds:g})"
        )
    try:
        address = urlsplit(policy.health)
        fit = address.scheme == "http" and address.hostname in LOOPBACK and bool(address.port)
    except ValueError:
        fit = False
    if not fit:
        raise UsageError(
            f"{path}: health must be an address of this machine, as http://127.0.0.1:8765, "
            f"not {policy.health!r}"
        )
