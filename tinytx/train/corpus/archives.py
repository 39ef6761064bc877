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

from tinytx.errors import CorpusError
from tinytx.train.corpus.encodings import Raw
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


def unpack(data: bytes, name: str, file: str) -> list[Raw]:
    """The texts in ``data``, known by its first bytes: those of a gzip or zip file, or itself.

    ``name`` is what messages call it, ``file`` its path. Raises :class:`CorpusError`.
    """
    if data.startswith(GZIP):
        with _readable(name):
            inner = _bounded(gzip.GzipFile(fileobj=io.BytesIO(data)), name)
        return [Raw(name, inner, file, f"gzip -dc {shlex.quote(file)}")]
    if data.startswith(ZIPS):
        return _unzip(data, name, file)
    return [Raw(name, data, file)]


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        why = str(error) or type(error).__name__
        raise CorpusError(f"{name} is packed but cannot be unpacked: {why}") from error


def _unzip(data: bytes, name: str, file: str) -> list[Raw]:
    """The text files of an archive, in its order."""
    with _readable(name), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if kind := _office_or_book(archive):
            raise refusal(name, kind, file)
        members = [one for one in archive.infolist() if not one.is_dir()]
        members = [one for one in members if not _beside_the_point(one.filename)]
        texts = [one for one in members if one.filename.lower().endswith(MEMBERS)]
        chosen = texts or (members if len(members) == 1 else [])
        if not chosen:
            raise CorpusError(
                f"{name} holds {len(members)} files, none of them text ({', '.join(MEMBERS)})"
            )
        found: list[Raw] = []
        for one in chosen:
            inner = f"{one.filename} in {name}"
            if one.flag_bits & 1:
                raise CorpusError(f"{inner} is encrypted", "unpack it and give the text")
            with _readable(inner), archive.open(one) as stream:
                before = sum(len(raw.data) for raw in found)
                unpacked = _bounded(stream, name, before)  # type: ignore[arg-type]
            command = f"unzip -p {shlex.quote(file)} {shlex.quote(one.filename)}"
            found.append(Raw(inner, unpacked, file, command))
        return found


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


def _bounded(file: io.BufferedIOBase, name: str, before: int = 0) -> bytes:
    """All that ``file`` yields, or an error once it is more than the limit."""
    unpacked = bytearray()
    while block := file.read(1 << 20):
        unpacked += block
        if before + len(unpacked) > LARGEST_TEXT:
            raise CorpusError(f"{name} unpacks to more than {LARGEST_TEXT:,} bytes")
    return bytes(unpacked)
