"""Corpora that are known by a name: where they lie, their licence, their checksum if it is fixed.

Project Gutenberg corrects its books now and then, so no checksum of theirs lasts; instead the marks
that enclose each book must be there, and what lies outside them (the licence and its small print)
is left out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tinytx.errors import CorpusError, UsageError

_START = re.compile(r"^\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*$", re.MULTILINE)
_END = re.compile(r"^\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*$", re.MULTILINE)
_SEPARATOR = "<|endoftext|>"


def strip_gutenberg(text: str, name: str) -> str:
    """The book alone. Raises :class:`CorpusError` when its marks are not there."""
    start, end = _START.search(text), _END.search(text)
    if start is None or end is None or end.start() < start.end():
        raise CorpusError(f"{name} lacks the marks that enclose a Project Gutenberg book")
    return text[start.end() : end.start()].strip() + "\n"


def separate_stories(text: str, name: str) -> str:
    """Stories with an empty line between them instead of the data set's own separator."""
    if _SEPARATOR not in text:
        raise CorpusError(f"{name} lacks the separator {_SEPARATOR} of TinyStories")
    stories = (re.sub(r"\n{2,}", "\n", story.strip()) for story in text.split(_SEPARATOR))
    return "\n\n".join(story for story in stories if story) + "\n"


def as_it_is(text: str, name: str) -> str:
    """Nothing to clean."""
    return text


@dataclass(frozen=True)
class NamedFile:
    """One file of a named corpus."""

    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class NamedCorpus:
    """A corpus that others use as well, so that figures can be compared."""

    title: str
    licence: str
    files: tuple[NamedFile, ...]
    clean: Callable[[str, str], str] = as_it_is
    last_part: float | None = None
    """Hold out the end of the text, as others do, and not blocks all over it."""


def _book(number: int) -> NamedFile:
    return NamedFile(f"https://www.gutenberg.org/cache/epub/{number}/pg{number}.txt")


NAMED = {
    "gutenberg": NamedCorpus(
        title="Pride and Prejudice, Alice in Wonderland (English), Don Quijote (Spanish)",
        licence="public domain in the United States (Project Gutenberg 1342, 11 and 2000)",
        files=(_book(1342), _book(11), _book(2000)),
        clean=strip_gutenberg,
    ),
    "tinyshakespeare": NamedCorpus(
        title="a selection of Shakespeare's plays, 1.1 MB; the last tenth is held out",
        licence="public domain",
        files=(
            NamedFile(
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
        last_part=0.1,
    ),
    "tinystories": NamedCorpus(
        title="the validation part of TinyStories (Eldan and Li 2023, arXiv 2305.07759), 19 MB",
        licence="CDLA-Sharing-1.0",
        files=(
            NamedFile(
                "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/TinyStories-valid.txt",
                "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4",
            ),
        ),
        clean=separate_stories,
    ),
}


def named_corpus(name: str) -> NamedCorpus:
    """The corpus of that name. Raises :class:`UsageError` with the names that there are."""
    if name not in NAMED:
        raise UsageError(f"there is no corpus named {name!r}; known are {', '.join(sorted(NAMED))}")
    return NAMED[name]
