"""Where a corpus comes from: the built-in stories, files, an address, or a name; and its split."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus.download import Download, fetch, target_in
from tinytx.train.corpus.holdout import hold_out_blocks, hold_out_end, without_copies
from tinytx.train.corpus.named import NamedFile, named_corpus
from tinytx.train.corpus.text import decode_text, read_text, text_files, unpack
from tinytx.train.progress import Reporter
from tinytx.workspace import sha256_file

SHORTEST_TEXT = 2_000  # bytes


@dataclass(frozen=True)
class SplitCorpus:
    """Training and validation text, and what is known of them."""

    train: str
    val: str
    source: str
    val_information_bits: float | None = None
    """-log2 of the validation text's own probability: known for the built-in corpus alone."""


def obtain(settings: CorpusSettings, downloads: Path, reporter: Reporter) -> SplitCorpus:
    """Make, read or download the corpus and split it. ``downloads`` is where downloads are kept.

    Raises :class:`CorpusError`.
    """
    last_part: float | None = None
    source: str
    if settings.name is not None:
        corpus = named_corpus(settings.name)
        reporter.note(f"{corpus.title}; licence: {corpus.licence}")
        texts = [_download(file, downloads, reporter) for file in corpus.files]
        cleaned = [corpus.clean(t, f.url) for t, f in zip(texts, corpus.files, strict=True)]
        text, source, last_part = "\n".join(cleaned), str(settings.name), corpus.last_part
    elif settings.url is not None:
        text = _download(NamedFile(settings.url, settings.sha256), downloads, reporter)
        source = settings.url
    elif settings.paths:
        files = corpus_files(settings.paths)
        text = (
            "\n\n".join(read_text(path) for path in files)
            if len(files) > 1
            else read_text(files[0])
        )
        source = settings.paths[0] if len(files) == 1 else f"{len(files)} files"
    else:
        return _built_in(settings)
    return _split(SplitCorpus(text, "", source), settings, last_part, reporter)


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


def _download(file: NamedFile, downloads: Path, reporter: Reporter) -> str:
    data = fetch(Download(file.url, target_in(downloads, file.url), file.sha256), reporter)
    return decode_text(unpack(data, file.url), file.url)


def _split(
    corpus: SplitCorpus, settings: CorpusSettings, last_part: float | None, reporter: Reporter
) -> SplitCorpus:
    """Hold out validation text where none is given; no document is in both parts."""
    text = corpus.train
    if settings.val_path is not None:
        val = read_text(Path(settings.val_path))
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


def _built_in(settings: CorpusSettings) -> SplitCorpus:
    from tinytx.train.corpus import builtin

    train, val = builtin.split(settings.seed, settings.train_bytes, settings.val_bytes)
    held_out = read_text(Path(settings.val_path)) if settings.val_path else None
    if held_out is not None:
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
