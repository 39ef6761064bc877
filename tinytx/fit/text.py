"""How hard a text is, and how many bytes a token of it has, before anything is trained on it.

The difficulty is what a general compressor needs for each byte of the held-out text when it has
seen the training text: the size of both together less that of the training text alone. lzma
finds what comes again word for word; how much a model of words saves beyond that is what the law
(``law.py``) was fitted to.
"""

import lzma
from pathlib import Path

import msgspec

SAMPLE_BYTES = 3_000_000
"""Of the training text, in blocks spread over it evenly: about two seconds of compression."""
HELD_OUT_BYTES = 300_000
BLOCKS = 16
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 8 * 1024 * 1024}]
"""A window that holds both samples."""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan of a training needs to know of its text."""

    train_bytes: int
    val_bytes: int
    difficulty: float
    """Bits for each byte of the held-out text, by a compressor that has seen the training text."""
    sampled_bytes: int
    """How much of the training text the compressor saw."""


def look_at(train: Path, val: Path) -> Text:
    """Measure the texts; a few seconds for any size. Raises OSError."""
    seen, held_out = _blocks(train, SAMPLE_BYTES), _blocks(val, HELD_OUT_BYTES)
    alone, both = _compressed(seen), _compressed(seen + held_out)
    return Text(
        train_bytes=train.stat().st_size,
        val_bytes=val.stat().st_size,
        difficulty=8 * max(both - alone, 1) / max(len(held_out), 1),
        sampled_bytes=len(seen),
    )


def _blocks(path: Path, most: int) -> bytes:
    """The whole file, or blocks of it at equal distances, ``most`` bytes together."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= most:
            return file.read()
        parts = []
        for block in range(BLOCKS):
            file.seek(block * (size // BLOCKS))
            parts.append(file.read(most // BLOCKS))
        return b"".join(parts)


def _compressed(data: bytes) -> int:
    """Bytes of the data after compression."""
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=FILTERS))
