"""Where a corpus comes from: the built-in stories, files, an address, or a name; and its split."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus.download import Download, fetch, target_in
from tinytx.train.corpus.holdout import Copies, Parts, hold_out_blocks, hold_out_end
from tinytx.train.corpus.named import NamedFile, named_corpus
from tinytx.train.corpus.text import some, stream_text, stream_text_or_blank, text_files
from tinytx.train.corpus.written import Written, read_parts, write_text
from tinytx.train.progress import Reporter
from tinytx.train.recorded import bare_address, bare_name
from tinytx.workspace import sha256_file

SHORTEST_TEXT = 2_000  # bytes
NAMES_AT_MOST = 20
"""Names of files that a record of a corpus holds; their number and hash cover the rest."""


@dataclass(frozen=True)
class SplitCorpus:
    """Training and validation text, as files, and what is known of them."""

    train: Written
    val: Written
    source: str
    val_information_bits: float | None = None
    """-log2 of the validation text's own probability: known for the built-in corpus alone."""
    files: dict[str, Any] = field(default_factory=dict)
    """What it was made of: :meth:`Files.record`."""


class Files:
    """The files that a corpus is made of, as they are read."""

    def __init__(self) -> None:
        self._read: list[tuple[str, str]] = []

    def add(self, name: str, file: Path) -> None:
        with os_errors_as(CorpusError, "read the corpus"):
            self._read.append((name, sha256_file(file)))

    def __len__(self) -> int:
        return len(self._read)

    def record(self) -> dict[str, Any]:
        """How many they are, the first names without their folders, and one sha256 of all: that
        of the files' own, a line each."""
        lines = "".join(f"{digest}\n" for _, digest in self._read)
        return {
            "files": len(self._read),
            "names": [name for name, _ in self._read[:NAMES_AT_MOST]],
            "files_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        }


def obtain(
    settings: CorpusSettings, downloads: Path, reporter: Reporter, folder: Path
) -> SplitCorpus:
    """Make, read or download the corpus and split it, into files in ``folder``.

    ``downloads`` is where downloads are kept. However large a text is, little of it is in memory
    at any time. Raises :class:`CorpusError`.
    """
    last_part: float | None = None
    files = Files()
    if settings.name is not None:
        corpus = named_corpus(settings.name)
        reporter.note(f"{corpus.title}; licence: {corpus.licence}")
        texts = ["".join(_download(f, downloads, reporter, files)) for f in corpus.files]
        cleaned = [corpus.clean(t, f.url) for t, f in zip(texts, corpus.files, strict=True)]
        parts: Parts = ["\n".join(cleaned)]
        last_part = corpus.last_part
    elif settings.url is not None:
        parts = _download(NamedFile(settings.url, settings.sha256), downloads, reporter, files)
    elif settings.paths:
        parts = _read_all(settings.paths, reporter, files)
    else:
        return _built_in(settings, reporter, folder)
    whole = write_text(folder / "whole.txt", parts, reporter.reading)
    return _split(whole, settings, last_part, reporter, files)


def _called(settings: CorpusSettings, files: Files) -> str:
    """What the corpus is called in messages and records."""
    if settings.name is not None or settings.url is not None:
        return str(settings.name or settings.url)
    return settings.paths[0] if len(files) == 1 else f"{len(files):,} files"


def _read_all(paths: tuple[str, ...], reporter: Reporter, files: Files) -> Iterator[str]:
    """The texts of files and folders, an empty line between them; empty files of a folder are
    passed over."""
    blank: list[str] = []
    for path in map(Path, paths):
        for file in text_files(path, reporter.warn) if path.is_dir() else [path]:
            empty = True
            for part in stream_text_or_blank(file, str(file), str(file), reporter.warn):
                if empty and len(files):
                    yield "\n\n"
                empty = False
                yield part
            if not empty:
                files.add(bare_name(str(file)), file)
            elif path == file:
                raise CorpusError(f"{file} is empty")
            else:
                blank.append(str(file))
    if not len(files):
        raise CorpusError(f"every text file in {paths[0]} is empty")
    if blank:
        reporter.warn(f"left out, being empty: {some(blank)}")


def corpus_files(paths: tuple[str, ...]) -> list[Path]:
    """The files that ``paths`` name: folders stand for the text files below them."""
    files: list[Path] = []
    for path in map(Path, paths):
        files += text_files(path) if path.is_dir() else [path]
    return files


def input_hashes(settings: CorpusSettings) -> dict[str, str]:
    """The sha256 of each file on this machine that the corpus is made of."""
    paths = corpus_files(settings.paths)
    if settings.val_path is not None:
        paths.append(Path(settings.val_path))
    with os_errors_as(CorpusError, "read the corpus"):
        return {str(path): sha256_file(path) for path in paths if _regular(path)}


def _regular(path: Path) -> bool:
    """Whether a file may be hashed; what may not is refused where it is read."""
    return path.is_file() or not path.exists()


def _download(file: NamedFile, downloads: Path, reporter: Reporter, files: Files) -> Iterator[str]:
    path = fetch(Download(file.url, target_in(downloads, file.url), file.sha256), reporter)
    files.add(bare_name(bare_address(file.url)), path)
    yield from stream_text(path, file.url, str(path), reporter.warn)


def _split(
    whole: Written,
    settings: CorpusSettings,
    last_part: float | None,
    reporter: Reporter,
    files: Files,
) -> SplitCorpus:
    """Hold out validation text where none is given; no document is in both parts."""
    called, folder = _called(settings, files), whole.path.parent
    if settings.val_path is not None:
        val = _given(settings.val_path, reporter, folder)
        copies = Copies(read_parts(val.path))
        for _ in copies.left_out(read_parts(whole.path)):
            pass
        if copies.found:
            reporter.warn(
                f"{copies.found:,} paragraphs of the validation text are in the training text as "
                "well: its score flatters the model"
            )
        return SplitCorpus(whole, val, called, files=files.record())
    if whole.size < SHORTEST_TEXT:
        raise CorpusError(
            f"{called} is too short to split: {whole.size:,} bytes, "
            f"at least {SHORTEST_TEXT:,} are needed",
            "add text, or give the validation text with --val-path",
        )

    def blocks(held: bool) -> Iterator[str]:
        read, length = partial(read_parts, whole.path), whole.characters
        all_of_them = (
            hold_out_end(read(), length, last_part)
            if last_part
            else hold_out_blocks(read, length, settings.val_fraction)
        )
        return (block for mine, block in all_of_them if mine == held)

    val = write_text(folder / "val.txt", blocks(True))
    copies = Copies(read_parts(val.path))
    train = write_text(folder / "train.txt", copies.left_out(blocks(False)))
    whole.path.unlink()
    if copies.found:
        reporter.note(
            f"{copies.found:,} copies of held-out paragraphs left out of the training text"
        )
    if train.blank:
        raise CorpusError(
            f"{called} repeats itself: nothing is left to train on without what is held out",
            "give the validation text with --val-path",
        )
    return SplitCorpus(train, val, called, files=files.record())


def _given(val_path: str, reporter: Reporter, folder: Path) -> Written:
    parts = stream_text(Path(val_path), val_path, val_path, reporter.warn)
    return write_text(folder / "val.txt", parts)


def _built_in(settings: CorpusSettings, reporter: Reporter, folder: Path) -> SplitCorpus:
    from tinytx.train.corpus import builtin

    made, held = builtin.split(settings.seed, settings.train_bytes, settings.val_bytes)
    train = write_text(folder / "train.txt", [made.text])
    if settings.val_path is not None:
        val = _given(settings.val_path, reporter, folder)
        return SplitCorpus(train, val, "the built-in stories")
    val = write_text(folder / "val.txt", [held.text])
    return SplitCorpus(train, val, "the built-in stories", held.information_bits)


def own_bits_per_byte(facts_file: Path) -> float | None:
    """The held-out text's own information in bits per byte, where ``corpus.json`` knows it."""
    try:
        facts = json.loads(facts_file.read_bytes())
        bits, size = facts["val_information_bits"], facts["val_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if bits is None else float(bits) / int(size)


def recorded_files(facts_file: Path, train_sha256: str) -> dict[str, Any]:
    """What ``corpus.json`` says of the files behind a training text of this sha256, else nothing.

    Another text may have been put in its place since.
    """
    try:
        facts = json.loads(facts_file.read_bytes())
        files = facts["files"] if facts["train_sha256"] == train_sha256 else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(files) if isinstance(files, dict) else {}
