"""How hard a text is, before anything is trained on it.

The difficulty is the bits that a simple model of the training text needs for each byte of the
held-out text: how often which byte came after the four before it, blended with shorter contexts
where those were seldom seen (Witten and Bell 1991). Such a model learns nothing from what is held
out, and a small transformer hardly does: where names appear that the training text does not have,
both fail. A compressor, which copies them, does not see that (docs/log/model.md has half of the
plays: 2.60 bits by lzma where the whole had 2.52, by this 2.84 and 2.41, trained 2.50 and 2.02).
What a transformer saves beyond that is what the law (``law.py``) was fitted to.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

SAMPLE_BYTES = 3_000_000
"""Of the training text, in blocks spread over it evenly: less than a second."""
HELD_OUT_BYTES = 300_000
BLOCKS = 16
ORDER = 4
"""Bytes of context."""
LEAST_BITS = 0.01

Words = NDArray[np.uint64]


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan of a training needs to know of its text."""

    train_bytes: int
    val_bytes: int
    difficulty: float
    """Bits for each byte of the held-out text, by frequencies in the training text."""
    sampled_bytes: int
    """How much of the training text they were counted in."""


def look_at(train: Path, val: Path) -> Text:
    """Measure the texts; a few seconds for any size. Raises OSError."""
    seen, held_out = _blocks(train, SAMPLE_BYTES), _blocks(val, HELD_OUT_BYTES)
    return Text(
        train_bytes=train.stat().st_size,
        val_bytes=val.stat().st_size,
        difficulty=max(bits_by_frequency(seen, held_out), LEAST_BITS),
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


def bits_by_frequency(seen: bytes, held_out: bytes) -> float:
    """Mean of -log2 of the probability of each byte of ``held_out``, 8 for the first of a text
    about which nothing is known; 0 where there are none.

    With n the times that byte c came after context h in ``seen``, N those of h and T the number of
    different bytes after h: P(c | h) = (n + T P(c | h without its first byte)) / (N + T).
    """
    train, test = (np.frombuffer(x, np.uint8).astype(np.uint64) for x in (seen, held_out))
    if not len(test):
        return 0.0
    probability = np.full(len(test), 1.0 / 256.0)
    for order in range(min(ORDER, len(train) - 1, len(test) - 1) + 1):
        pairs, counts = np.unique(_packed(train, order + 1), return_counts=True)
        contexts, place = np.unique(pairs >> np.uint64(8), return_inverse=True)
        wanted = _packed(test, order + 1)
        together = _found(pairs, counts, wanted)
        context = wanted >> np.uint64(8)
        times = _found(contexts, np.bincount(place, weights=counts), context)
        kinds = _found(contexts, np.bincount(place), context)
        shorter = probability[order:]
        known = times > 0
        blended = (together + kinds * shorter) / np.where(known, times + kinds, 1.0)
        probability[order:] = np.where(known, blended, shorter)
    return float(-np.log2(probability).mean())


def _packed(text: Words, length: int) -> Words:
    """Every ``length`` bytes that follow each other as one number, the last one lowest."""
    packed = np.zeros(max(len(text) - length + 1, 0), np.uint64)
    for first in range(length):
        packed = (packed << np.uint64(8)) | text[first : first + len(packed)]
    return packed


def _found(keys: Words, values: NDArray[Any], wanted: Words) -> NDArray[np.float64]:
    """The value of each wanted key, 0 for those that are not there; ``keys`` are sorted."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0).astype(np.float64)
