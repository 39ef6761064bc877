"""What gzip and zip files hold, each member by its name.

Every size is bounded before it is believed: a file that unpacks to more than ``LARGEST_TEXT`` is
given up on the way, not after it has filled the memory.
"""

import gzip
import io
import lzma
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tinytx.errors import CorpusError
from tinytx.train.corpus.encodings import Opener, Raw
from tinytx.train.corpus.formats import HEAD, Format, recognise, recognise_members, refusal

LARGEST_TEXT = 2_000_000_000  # bytes
MEMBERS = (".txt", ".text", ".md")
"""How the names of text files end."""
GZIP, ZIPS = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
DAMAGE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError,
    RuntimeError, ValueError, struct.error,
)  # fmt: skip
"""What Python's unpackers raise at a damaged archive, or one of a kind that they do not know."""


def unpack(opener: Opener, name: str, file: str) -> Iterator[Raw]:
    """The texts in a file, known by its first bytes: those of a gzip or zip file, or itself.

    ``name`` is what messages call it, ``file`` its path. Raises :class:`CorpusError`.
    """
    with opener() as stream:
        head = stream.read(len(max(ZIPS, key=len)))
    if head.startswith(GZIP):
        command = f"gzip -dc {shlex.quote(file)}"
        yield Raw(name, lambda: _gunzip(opener, name), file, command)  # type: ignore[arg-type, return-value]
    elif head.startswith(ZIPS):
        yield from _unzip(opener, name, file)
    else:
        yield Raw(name, opener, file)


class _Unpacked(io.RawIOBase):
    """What an unpacker yields: bounded, its failures in our words."""

    def __init__(self, stream: Any, name: str, before: int = 0, archive: str = "") -> None:
        """``before``: bytes that other members of the ``archive`` have had of the limit."""
        self._stream, self._name, self._archive = stream, name, archive or name
        self._under: BinaryIO | None = None
        self.done = before

    def read(self, size: int = -1) -> bytes:
        with _readable(self._name):
            block = bytes(self._stream.read(size))
        self.done += len(block)
        if self.done > LARGEST_TEXT:
            raise CorpusError(f"{self._archive} unpacks to more than {LARGEST_TEXT:,} bytes")
        return block

    def close(self) -> None:
        self._stream.close()
        if self._under is not None:
            self._under.close()
        super().close()


def _gunzip(opener: Opener, name: str) -> _Unpacked:
    packed = opener()
    unpacked = _Unpacked(gzip.GzipFile(fileobj=packed), name)
    unpacked._under = packed  # which GzipFile leaves open
    return unpacked


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        why = str(error) or type(error).__name__
        raise CorpusError(f"{name} is packed but cannot be unpacked: {why}") from error


def _unzip(opener: Opener, name: str, file: str) -> Iterator[Raw]:
    """The text files of an archive, in its order."""
    with opener() as stream, _opened(stream, name) as archive:
        before = 0
        for one in _texts(archive, name, file):
            inner = f"{one.filename} in {name}"
            if one.flag_bits & 1:
                raise CorpusError(f"{inner} is encrypted", "unpack it and give the text")
            made: list[_Unpacked] = []

            def open_member(
                one: zipfile.ZipInfo = one,
                inner: str = inner,
                before: int = before,
                made: list[_Unpacked] = made,
            ) -> BinaryIO:
                with _readable(inner):
                    member = archive.open(one)
                made.append(_Unpacked(member, inner, before, name))
                return made[-1]  # type: ignore[return-value]

            command = f"unzip -p {shlex.quote(file)} {shlex.quote(one.filename)}"
            yield Raw(inner, open_member, file, command)
            before = max((part.done for part in made), default=before)


def _opened(stream: BinaryIO, name: str) -> zipfile.ZipFile:
    with _readable(name):
        return zipfile.ZipFile(stream)


def _texts(archive: zipfile.ZipFile, name: str, file: str) -> list[zipfile.ZipInfo]:
    """The members that are to be read: text by their names, or the only one that there is."""
    with _readable(name):
        kind = _office_or_book(archive)
    if kind:
        raise refusal(name, kind, file)
    members = [one for one in archive.infolist() if not one.is_dir()]
    members = [one for one in members if not _beside_the_point(one.filename)]
    texts = [one for one in members if one.filename.lower().endswith(MEMBERS)]
    chosen = texts or (members if len(members) == 1 else [])
    if not chosen:
        raise CorpusError(
            f"{name} holds {len(members)} files, none of them text ({', '.join(MEMBERS)})"
        )
    return chosen


def foreign_format(path: Path) -> Format | None:
    """What other program's file lies there, packed ones included; None where nothing is known."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.startswith(ZIPS):
                return recognise(head)
            with zipfile.ZipFile(file) as archive:
                return _office_or_book(archive)
    except DAMAGE:
        return None


def _office_or_book(archive: zipfile.ZipFile) -> Format | None:
    """Office files and e-books are zip archives too; what they hold is markup."""
    names, mimetype = archive.namelist(), b""
    if "mimetype" in names and not archive.getinfo("mimetype").flag_bits & 1:
        with archive.open("mimetype") as stream:
            mimetype = stream.read(100)
    return recognise_members(names, mimetype)


def _beside_the_point(member: str) -> bool:
    """Whether a member is what file managers leave behind, or hidden."""
    parts = PurePosixPath(member).parts
    return "__MACOSX" in parts or any(p.startswith(".") or p == "Thumbs.db" for p in parts)
