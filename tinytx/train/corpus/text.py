"""A file or a folder to text: opened safely, unpacked, decoded, or refused by name."""

import codecs
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus import archives
from tinytx.train.corpus.encodings import BLOCK, Tell, decode
from tinytx.train.corpus.formats import refusal

SUFFIXES = (*archives.MEMBERS, ".txt.gz", ".zip")
"""How the names of those files in a folder end that count as text."""
NAMED_AT_MOST = 5  # files in one sentence
LOOKED_AT = 100  # files of a folder that are not called text, for what they are


def read_text(path: Path, tell: Tell = lambda _: None) -> str:
    """A text file, packed or not. Raises :class:`CorpusError` with one sentence."""
    return "".join(stream_text(path, str(path), str(path), tell))


def stream_text(path: Path, name: str, file: str, tell: Tell) -> Iterator[str]:
    """The text in a file, packed or not, in parts.

    ``name`` is what messages call it, ``file`` is its path for the commands that they name.
    Raises :class:`CorpusError` where it is no text or empty.
    """
    empty = True
    for part in stream_text_or_blank(path, name, file, tell):
        empty = False
        yield part
    if empty:
        raise CorpusError(f"{name} is empty")


def stream_text_or_blank(path: Path, name: str, file: str, tell: Tell) -> Iterator[str]:
    """The same, or nothing where there is only white space.

    Members of an archive are separated by an empty line; ``tell`` hears which of them are blank.
    """
    checked(path)
    full, blank = 0, []
    with os_errors_as(CorpusError, "read the corpus"):
        for raw in archives.unpack(lambda: path.open("rb"), name, file):
            held: list[str] = []  # white space that may be all there is
            said = False
            for part in decode(raw, tell):
                held.append(part)
                if said or (not part.isspace() and part):
                    if not said and full:
                        yield "\n\n"
                    yield from held
                    held, said = [], True
            if said:
                full += 1
            else:
                blank.append(raw.name)
    if full and blank:
        tell(f"left out, being empty: {some(blank)}")


def check_plain(path: Path) -> None:
    """Raise :class:`CorpusError` unless a file can be used as it lies there: UTF-8, not packed."""
    with os_errors_as(CorpusError, "read the corpus"), checked(path).open("rb") as file:
        decoder, done = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            while block := file.read(BLOCK):
                held = len(decoder.getstate()[0])
                decoder.decode(block)
                done += len(block)
            held = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
                f"{done - held + error.start:,}",
                "give it with --corpus-path in place of --skip-corpus, which says how to convert "
                "it",
            ) from error
    for _ in stream_text(path, str(path), str(path), lambda _: None):
        pass


def checked(path: Path) -> Path:
    """A regular file within the size limit: a pipe or a device might never end."""
    with os_errors_as(CorpusError, "read the corpus"):
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise CorpusError(f"{path} is a folder, not a text file")
        if not stat.S_ISREG(facts.st_mode):
            raise CorpusError(
                f"{path} is not a regular file", "save the text to a file and give that"
            )
        if facts.st_size > archives.LARGEST_TEXT:
            raise CorpusError(f"{path} is larger than {archives.LARGEST_TEXT:,} bytes")
        return path


def text_files(folder: Path, tell: Tell = lambda _: None) -> list[Path]:
    """The text files below a folder, in the order of their names. Hidden ones do not count.

    ``tell`` hears of the files that are called otherwise and are left out.
    """
    with os_errors_as(CorpusError, "read the corpus"):
        seen = sorted(
            path
            for path in folder.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file()
        )
        found = [path for path in seen if path.name.lower().endswith(SUFFIXES)]
    others = sorted(set(seen) - set(found))
    if not found:
        kinds = f" but {_by_suffix(others)}" if others else ""
        advice = _advice(others) or f"their names end in {', '.join(SUFFIXES)}"
        raise CorpusError(f"the folder {folder} holds no text files{kinds}", advice)
    if others:
        advice = f"; {advice}" if (advice := _advice(others)) else ""
        tell(
            f"left out of {folder}, not being called text ({', '.join(SUFFIXES)}): "
            f"{_by_suffix(others)}{advice}"
        )
    return found


def _by_suffix(paths: list[Path]) -> str:
    """ "3 .csv, 1 .html": how many files there are of each kind, the most first."""
    counts = Counter(path.suffix.lower() or "without an ending" for path in paths).most_common()
    told = [f"{count:,} {suffix}" for suffix, count in counts[:NAMED_AT_MOST]]
    rest = sum(count for _, count in counts[NAMED_AT_MOST:])
    return ", ".join([*told, *([f"{rest:,} others"] if rest else [])])


def _advice(paths: list[Path]) -> str:
    """The way to text for the first file of another program among ``paths``."""
    for path in paths[:LOOKED_AT]:
        if (kind := archives.foreign_format(path)) is not None:
            found = refusal(str(path), kind, str(path))
            return f"{found.message}; {found.remedy}"
    return ""


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = len(listed) - NAMED_AT_MOST
    return ", ".join(listed[:NAMED_AT_MOST]) + (f" and {more:,} more" if more > 0 else "")
