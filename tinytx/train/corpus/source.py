"""Where a corpus comes from: the built-in stories, a file, or an address; and its check."""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus.holdout import hold_out_blocks
from tinytx.train.progress import Reporter

LARGEST_TEXT = 2_000_000_000  # bytes
SHORTEST_TEXT = 2_000  # bytes
TIMEOUT_SECONDS = 30.0
BLOCK = 1 << 16


@dataclass(frozen=True)
class SplitCorpus:
    """Training and validation text, and what is known of them."""

    train: str
    val: str
    source: str
    val_information_bits: float | None = None
    """-log2 of the validation text's own probability: known for the built-in corpus alone."""


def obtain(settings: CorpusSettings, reporter: Reporter) -> SplitCorpus:
    """Make, read or download the corpus and split it. Raises :class:`CorpusError`."""
    if settings.path is None and settings.url is None:
        return _built_in(settings)
    if settings.path is not None:
        source, text = settings.path, read_text(Path(settings.path))
    else:
        assert settings.url is not None
        source = settings.url
        text = decode_text(download(settings.url, reporter), settings.url)
    if settings.val_path is not None:
        return SplitCorpus(text, read_text(Path(settings.val_path)), source)
    if len(text.encode()) < SHORTEST_TEXT:
        raise CorpusError(
            f"{source} is too short to split: {len(text.encode()):,} bytes, "
            f"at least {SHORTEST_TEXT:,} are needed",
            "add text, or give the validation text with --val-path",
        )
    train, val = hold_out_blocks(text, settings.val_fraction)
    return SplitCorpus(train, val, source)


def _built_in(settings: CorpusSettings) -> SplitCorpus:
    from tinytx.train.corpus import builtin

    train, val = builtin.split(settings.seed, settings.train_bytes, settings.val_bytes)
    held_out = read_text(Path(settings.val_path)) if settings.val_path else None
    if held_out is not None:
        return SplitCorpus(train.text, held_out, "the built-in stories")
    return SplitCorpus(train.text, val.text, "the built-in stories", val.information_bits)


def read_text(path: Path) -> str:
    """A UTF-8 text file, without BOM, lines ended by a newline alone."""
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; a corpus is one text file")
    with os_errors_as(CorpusError, "read the corpus"):
        if path.stat().st_size > LARGEST_TEXT:
            raise CorpusError(f"{path} is larger than {LARGEST_TEXT:,} bytes")
        data = path.read_bytes()
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> str:
    """Check that ``data`` is text: not empty, not binary, UTF-8."""
    if (zero := data.find(0)) >= 0:
        raise CorpusError(f"{name} is not text: there is a zero byte at offset {zero:,}")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,}",
            f"if it is Latin-1: iconv -f latin1 -t utf-8 {name} > corpus.txt",
        ) from error
    if not text.strip():
        raise CorpusError(f"{name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def download(url: str, reporter: Reporter) -> bytes:
    """The bytes behind an http, https or file address. Raises :class:`CorpusError`."""
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https", "file"):
        raise CorpusError(f"--corpus-url {url!r} must begin with http://, https:// or file://")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            return _receive(answer, total, url, reporter)
    except urllib.error.HTTPError as error:
        raise CorpusError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(
            f"cannot download {url}: {reason}", "download it by other means: --corpus-path"
        ) from error


def _receive(answer: object, total: int | None, url: str, reporter: Reporter) -> bytes:
    """Read an answer whole, within the size limit, and check its announced length."""
    received = bytearray()
    while block := answer.read(BLOCK):  # type: ignore[attr-defined]
        received += block
        reporter.download(len(received), total)
        if len(received) > LARGEST_TEXT:
            raise CorpusError(f"{url} is larger than {LARGEST_TEXT:,} bytes")
    if total is not None and len(received) < total:
        raise CorpusError(f"{url} broke off after {len(received):,} of {total:,} bytes")
    return bytes(received)


def own_bits_per_byte(facts_file: Path) -> float | None:
    """The held-out text's own information in bits per byte, where ``corpus.json`` knows it."""
    try:
        facts = json.loads(facts_file.read_bytes())
        bits, size = facts["val_information_bits"], facts["val_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if bits is None else float(bits) / int(size)
