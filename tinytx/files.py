"""Reads files that someone else may have prepared: no links, no devices, no surprises in size.

Every failure is a :class:`BundleError` of one sentence, whatever the bytes are.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from tinytx.errors import BundleError
from tinytx.wording import printable

T = TypeVar("T", bound=msgspec.Struct)


def decode(raw: bytes, form: type[T], where: Path) -> T:
    """JSON of a stated form. Raises :class:`BundleError`, in one sentence whatever the bytes."""
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        why = printable(str(error)[:200])
        raise BundleError(f"{where} is damaged: {why}") from error


@contextmanager
def told(path: Path) -> Iterator[None]:
    """An ``OSError`` on the way as a :class:`BundleError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error


def open_regular(path: Path, limit: int) -> BinaryIO:
    """A regular file of at most ``limit`` bytes, told before any is read; no link is followed."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        file.close()
        raise BundleError(f"{path} is not a regular file")
    if facts.st_size > limit:
        file.close()
        raise BundleError(f"{path} is larger than it may be ({limit:,} bytes)")
    return file


def open_waiting_for_nobody(path: Path) -> BinaryIO:
    """A regular file, or a link to one, which its owner may have put there: a pipe in its place
    would keep whoever opens it for ever. Raises ``OSError``."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(file, "rb")
    os.close(file)
    kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    why = os.strerror(kind) if stat.S_ISDIR(mode) else "it is not a regular file"
    raise OSError(kind, why, str(path))


def read_bounded(path: Path, limit: int) -> bytes:
    """A whole file of at most ``limit`` bytes."""
    with told(path), open_regular(path, limit) as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # it grew since
        raise BundleError(f"{path} is larger than it may be ({limit:,} bytes)")
    return data
