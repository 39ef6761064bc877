"""Texts as files: written and read in parts, with what is to be known of them told on the way."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus.holdout import Parts

PART = 1 << 20
"""Characters that are read at once."""


@dataclass(frozen=True)
class Written:
    """A text that lies in a file, in UTF-8."""

    path: Path
    characters: int
    size: int
    """Bytes."""
    sha256: str
    blank: bool
    """Whether it is white space alone."""


def write_text(
    path: Path, parts: Parts, progress: Callable[[int], None] = lambda _: None
) -> Written:
    """Write a text; ``progress`` hears how many bytes there are so far.

    Raises :class:`CorpusError` when it cannot be written.
    """
    digest, characters, size, blank = hashlib.sha256(), 0, 0, True
    with os_errors_as(CorpusError, "write the corpus"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        for part in parts:
            raw = part.encode()
            with os_errors_as(CorpusError, "write the corpus"):
                file.write(raw)
            digest.update(raw)
            characters, size = characters + len(part), size + len(raw)
            blank = blank and (not part or part.isspace())
            progress(size)
        with os_errors_as(CorpusError, "write the corpus"):
            file.flush()
    return Written(path, characters, size, digest.hexdigest(), blank)


def read_parts(path: Path) -> Iterator[str]:
    """The text again, in parts."""
    with (
        os_errors_as(CorpusError, "read the corpus"),
        path.open(encoding="utf-8", newline="") as file,
    ):
        while part := file.read(PART):
            yield part
