"""Where a corpus comes from: the built-in stories, files, an address, or a name; and its split."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus.download import Download, fetch, local_file, target_in
from tinytx.train.corpus.holdout import hold_out_blocks, hold_out_end, without_copies
from tinytx.train.corpus.named import NamedFile, named_corpus
from tinytx.train.corpus.text import (
    read_file,
    read_text,
    some,
    text_files,
    to_text,
    to_text_or_blank,
)
from tinytx.train.progress import Reporter
from tinytx.train.recorded import bare_address, bare_name
from tinytx.workspace import sha256_file

SHORTEST_TEXT = 2_000  # bytes
NAMES_AT_MOST = 20
"""Names of files that a record of a corpus holds; their number and hash cover the rest."""


@dataclass(frozen=True)
class SplitCorpus:
    """Training and validation text, and what is known of them."""

    train: str
    val: str
    source: str
    val_information_bits: float | None = None
    """-log2 of the validation text's own probability: known for the built-in corpus alone."""
    files: dict[str, Any] = field(default_factory=dict)
    """What it was made of: :meth:`Files.record`."""


class Files:
    """The files that a corpus is made of, as they are read."""

    def __init__(self) -> None:
        self._read: list[tuple[str, str]] = []

    def add(self, name: str, data: bytes) -> None:
        self._read.append((name, hashlib.sha256(data).hexdigest()))

    def record(self) -> dict[str, Any]:
        """How many they are, the first names without their folders, and one sha256 of all: that
        of the files' own, a line each."""
        lines = "".join(f"{digest}\n" for _, digest in self._read)
        return {
            "files": len(self._read),
            "names": [name for name, _ in self._read[:NAMES_AT_MOST]],
            "files_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        }


def obtain(settings: CorpusSettings, downloads: Path, reporter: Reporter) -> SplitCorpus:
    """Make, read or download the corpus and split it. ``downloads`` is where downloads are kept.

    Raises :class:`CorpusError`.
    """
    last_part: float | None = None
    files, source = Files(), ""
    if settings.name is not None:
        corpus = named_corpus(settings.name)
        reporter.note(f"{corpus.title}; licence: {corpus.licence}")
        texts = [_download(file, downloads, reporter, files) for file in corpus.files]
        cleaned = [corpus.clean(t, f.url) for t, f in zip(texts, corpus.files, strict=True)]
        text, source, last_part = "\n".join(cleaned), str(settings.name), corpus.last_part
    elif settings.url is not None:
        text = _download(NamedFile(settings.url, settings.sha256), downloads, reporter, files)
        source = settings.url
    elif settings.paths:
        texts = _read_all(settings.paths, reporter, files)
        text = "\n\n".join(texts)
        source = settings.paths[0] if len(texts) == 1 else f"{len(texts):,} files"
    else:
        return _built_in(settings, reporter)
    whole = SplitCorpus(text, "", source, files=files.record())
    return _split(whole, settings, last_part, reporter)


def _read_all(paths: tuple[str, ...], reporter: Reporter, files: Files) -> list[str]:
    """The texts of files and folders; empty files of a folder are passed over."""
    texts: list[str] = []
    blank: list[str] = []
    for path in map(Path, paths):
        for file in text_files(path, reporter.warn) if path.is_dir() else [path]:
            data = read_file(file)
            text = to_text_or_blank(data, str(file), str(file), reporter.warn)
            if text:
                texts.append(text)
                files.add(bare_name(str(file)), data)
            elif path == file:
                raise CorpusError(f"{file} is empty")
            else:
                blank.append(str(file))
    if not texts:
        raise CorpusError(f"every text file in {paths[0]} is empty")
    if blank:
        reporter.warn(f"left out, being empty: {some(blank)}")
    return texts


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


def _download(file: NamedFile, downloads: Path, reporter: Reporter, files: Files) -> str:
    download = Download(file.url, target_in(downloads, file.url), file.sha256)
    data = fetch(download, reporter)
    files.add(bare_name(bare_address(file.url)), data)
    where = local_file(file.url) or download.target
    return to_text(data, file.url, str(where), reporter.warn)


def _split(
    corpus: SplitCorpus, settings: CorpusSettings, last_part: float | None, reporter: Reporter
) -> SplitCorpus:
    """Hold out validation text where none is given; no document is in both parts."""
    text = corpus.train
    if settings.val_path is not None:
        val = read_text(Path(settings.val_path), reporter.warn)
        _, copies = without_copies(text, val)
        if copies:
            reporter.warn(
                f"{copies:,} paragraphs of the validation text are in the training text as well: "
                "its score flatters the model"
            )
        return replace(corpus, val=val)
    if (size := len(text.encode())) < SHORTEST_TEXT:
        raise CorpusError(
            f"{corpus.source} is too short to split: {size:,} bytes, "
            f"at least {SHORTEST_TEXT:,} are needed",
            "add text, or give the validation text with --val-path",
        )
    parts = (
        hold_out_end(text, last_part) if last_part else hold_out_blocks(text, settings.val_fraction)
    )
    train, copies = without_copies(*parts)
    if copies:
        reporter.note(f"{copies:,} copies of held-out paragraphs left out of the training text")
    if not train.strip():
        raise CorpusError(
            f"{corpus.source} repeats itself: nothing is left to train on without what is held out",
            "give the validation text with --val-path",
        )
    return replace(corpus, train=train, val=parts[1])


def _built_in(settings: CorpusSettings, reporter: Reporter) -> SplitCorpus:
    from tinytx.train.corpus import builtin

    train, val = builtin.split(settings.seed, settings.train_bytes, settings.val_bytes)
    if settings.val_path is not None:
        held_out = read_text(Path(settings.val_path), reporter.warn)
        return SplitCorpus(train.text, held_out, "the built-in stories")
    return SplitCorpus(train.text, val.text, "the built-in stories", val.information_bits)


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
