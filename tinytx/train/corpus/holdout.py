"""Holding out validation text: contiguous blocks that no training window touches, and no document
that the training text holds as well."""

import itertools
import math
import re

LARGEST_BLOCK = 65_536  # characters
BLOCKS_AT_LEAST = 4  # held-out blocks, where the text is long enough for it
SHORTEST_DOCUMENT = 100  # characters; shorter paragraphs ("Yes," he said.) recur by themselves


def hold_out_blocks(text: str, fraction: float) -> tuple[str, str]:
    """Split ``text`` into training and validation text.

    One block in every ``1 / fraction`` is held out (at least one), evenly over the text, so
    that a book's middle and end are validated as well as its beginning. Blocks begin and end
    after a paragraph or a line where there is one near. Each part is its blocks joined in order.
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
    """The position after the first empty line from ``target`` on, within ``reach``; else after the
    first newline."""
    if target >= len(text):
        return len(text)
    for end in ("\n\n", "\n"):
        found = text.find(end, target, target + reach)
        if found >= 0:
            return found + len(end)
    return target


def hold_out_end(text: str, fraction: float) -> tuple[str, str]:
    """Split off the last characters, as the users of some well-known corpora do."""
    cut = int(len(text) * (1 - fraction))
    return text[:cut], text[cut:]


def without_copies(train: str, val: str) -> tuple[str, int]:
    """``train`` without the paragraphs that ``val`` holds too, and how many these were.

    Paragraphs are what empty lines separate; white space at line ends and the length of the gap
    do not count. What remains of the training text keeps its bytes.
    """
    held_out = set(_documents(val))
    if held_out.isdisjoint(_documents(train)):
        return train, 0
    pieces = re.split(r"(\n[ \t]*\n\s*)", train)  # paragraph, gap, paragraph, ...
    kept, copies = [], 0
    for i in range(0, len(pieces), 2):
        if _normal(pieces[i]) in held_out:
            copies += 1
        else:
            kept += pieces[i : i + 2]
    return "".join(kept), copies


def _documents(text: str) -> list[str]:
    found = map(_normal, re.split(r"\n[ \t]*\n", text))
    return [one for one in found if len(one) >= SHORTEST_DOCUMENT]


def _normal(paragraph: str) -> str:
    return "\n".join(line.strip() for line in paragraph.strip().splitlines())
