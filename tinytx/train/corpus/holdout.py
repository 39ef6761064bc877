"""Holding out validation text: contiguous blocks that no training window touches."""

import itertools
import math

LARGEST_BLOCK = 65_536  # characters
BLOCKS_AT_LEAST = 4  # held-out blocks, where the text is long enough for it


def hold_out_blocks(text: str, fraction: float) -> tuple[str, str]:
    """Split ``text`` into training and validation text.

    One block in every ``1 / fraction`` is held out (at least one), evenly over the text, so
    that a book's middle and end are validated as well as its beginning. Blocks begin and end
    after a line where there is one near. Each part is its blocks joined in order.
    """
    period = max(2, round(1 / fraction))
    size = min(LARGEST_BLOCK, max(200, len(text) // (period * BLOCKS_AT_LEAST)))
    cuts = [0]
    while cuts[-1] < len(text):
        cuts.append(_cut_near(text, cuts[-1] + size, size // 4))
    blocks = [text[a:b] for a, b in itertools.pairwise(cuts)]
    due = [math.floor(i * fraction + 0.5) for i in range(len(blocks) + 1)]  # held before block i
    held = {i for i in range(len(blocks)) if due[i + 1] > due[i]} or {len(blocks) // 2}
    train = [block for i, block in enumerate(blocks) if i not in held]
    val = [block for i, block in enumerate(blocks) if i in held]
    return "".join(train), "".join(val)


def _cut_near(text: str, target: int, reach: int) -> int:
    """The position after the first newline from ``target`` on, within ``reach``."""
    if target >= len(text):
        return len(text)
    newline = text.find("\n", target, target + reach)
    return newline + 1 if newline >= 0 else target
