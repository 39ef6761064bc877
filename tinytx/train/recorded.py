"""Settings as they may travel: without what they tell of the machine that they were used on.

A checkpoint and a bundle's manifest hold the settings of a run. The folders that its files lay in
are nobody else's business, and an address may hold a password.
"""

import urllib.parse
from collections.abc import Callable
from pathlib import PurePath

import msgspec

from tinytx.config import Settings
from tinytx.errors import printable


def bare_name(path: str) -> str:
    """The last part of a path, with bytes that are no UTF-8 written out."""
    return printable(PurePath(path).name or ".")


def bare_address(url: str) -> str:
    """An address without user, password, query and fragment; of a local file its name alone."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:  # no address at all: it will be refused, or was
        return ""
    if parts.scheme == "file":
        return f"file:///{bare_name(parts.path)}"
    host = parts.netloc.rpartition("@")[2]
    return printable(urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", "")))


def without_folders(settings: Settings) -> Settings:
    """These settings with the names of files in the place of their paths."""
    return _rewritten(settings, bare_name, bare_address)


def as_text(settings: Settings) -> Settings:
    """These settings with paths that JSON can hold: for the run's own metrics."""
    return _rewritten(settings, printable, printable)


def _rewritten(
    settings: Settings, path: Callable[[str], str], address: Callable[[str], str]
) -> Settings:
    corpus = settings.corpus
    paths: str | tuple[str, ...] | None = corpus.path
    if isinstance(paths, str):
        paths = path(paths)
    elif paths is not None:
        paths = tuple(map(path, paths))
    corpus = msgspec.structs.replace(
        corpus,
        path=paths,
        val_path=None if corpus.val_path is None else path(corpus.val_path),
        url=None if corpus.url is None else address(corpus.url),
    )
    return msgspec.structs.replace(settings, corpus=corpus)
