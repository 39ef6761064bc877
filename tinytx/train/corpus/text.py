"""Bytes to text: gzip and zip are unpacked, and what is not UTF-8 text is refused by name.

Every size is bounded before it is believed: a file that unpacks to more than ``LARGEST_TEXT`` is
given up on the way, not after it has filled the memory.
"""

import gzip
import io
import stat
import zipfile
import zlib
from pathlib import Path

from tinytx.errors import CorpusError, os_errors_as

LARGEST_TEXT = 2_000_000_000  # bytes
SUFFIXES = (".txt", ".text", ".md", ".txt.gz", ".zip")
"""What counts as text in a folder and, but for the archives, inside a zip file."""
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Byte order marks; UTF-32 before UTF-16, whose mark it begins with."""


def read_text(path: Path) -> str:
    """A text file, packed or not. Raises :class:`CorpusError` with one sentence."""
    return decode_text(unpack(read_file(path), str(path)), str(path))


def read_file(path: Path) -> bytes:
    """The bytes of a regular file within the size limit: a pipe or a device might never end."""
    with os_errors_as(CorpusError, "read the corpus"):
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise CorpusError(f"{path} is a folder, not a text file")
        if not stat.S_ISREG(facts.st_mode):
            raise CorpusError(
                f"{path} is not a regular file", "save the text to a file and give that"
            )
        if facts.st_size > LARGEST_TEXT:
            raise CorpusError(f"{path} is larger than {LARGEST_TEXT:,} bytes")
        return path.read_bytes()


def text_files(folder: Path) -> list[Path]:
    """The text files below a folder, in the order of their names. Hidden ones do not count."""
    with os_errors_as(CorpusError, "read the corpus"):
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.name.lower().endswith(SUFFIXES)
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file()
        )
    if not found:
        raise CorpusError(
            f"the folder {folder} holds no text files", f"their names end in {', '.join(SUFFIXES)}"
        )
    return found


def unpack(data: bytes, name: str) -> bytes:
    """What a gzip or zip file holds, known by its first bytes; anything else as it is."""
    try:
        if data.startswith(GZIP):
            return _bounded(gzip.GzipFile(fileobj=io.BytesIO(data)), name)
        if data.startswith(ZIP):
            return _unzip(data, name)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise CorpusError(f"{name} is packed but cannot be unpacked: {error}") from error
    return data


def _unzip(data: bytes, name: str) -> bytes:
    """The text files of an archive, in its order, with an empty line between them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [one for one in archive.infolist() if not one.is_dir()]
        texts = [one for one in members if one.filename.lower().endswith(SUFFIXES[:3])]
        chosen = texts or (members if len(members) == 1 else [])
        if not chosen:
            raise CorpusError(f"{name} holds {len(members)} files, none of them text (.txt)")
        if any(one.flag_bits & 1 for one in chosen):
            raise CorpusError(f"{name} is encrypted", "unpack it and give the text")
        parts, size = [], 0
        for one in chosen:
            with archive.open(one) as file:
                parts.append(_bounded(file, name, size))  # type: ignore[arg-type]
            size += len(parts[-1])
        return b"\n\n".join(parts)


def _bounded(file: io.BufferedIOBase, name: str, before: int = 0) -> bytes:
    """All that ``file`` yields, or an error once it is more than the limit."""
    unpacked = bytearray()
    while block := file.read(1 << 20):
        unpacked += block
        if before + len(unpacked) > LARGEST_TEXT:
            raise CorpusError(f"{name} unpacks to more than {LARGEST_TEXT:,} bytes")
    return bytes(unpacked)


def decode_text(data: bytes, name: str) -> str:
    """UTF-8 without its mark, lines ended by a newline alone; not empty, not binary.

    Another encoding is refused by its name, with the command that converts it.
    """
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            raise CorpusError(f"{name} is {encoding}, not UTF-8", _convert(encoding, name))
    if (zero := data.find(0)) >= 0:
        raise CorpusError(f"{name} is not text: there is a zero byte at offset {zero:,}")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,}",
            _convert(_likely_encoding(data), name),
        ) from error
    if not text.strip():
        raise CorpusError(f"{name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _likely_encoding(data: bytes) -> str:
    """Windows-1252 fills most of the gap 0x80 to 0x9f that Latin-1 leaves to control characters."""
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "ISO-8859-1"
    return "WINDOWS-1252" if any(0x80 <= byte < 0xA0 for byte in data) else "ISO-8859-1"


def _convert(encoding: str, name: str) -> str:
    return f"if it is {encoding}: iconv -f {encoding} -t UTF-8 {name} > corpus.txt"
