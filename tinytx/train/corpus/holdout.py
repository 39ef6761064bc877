"""Holding out validation text: contiguous blocks that no training window touches, and no document
that the training text holds as well.

Texts come in parts of any size, so that none has to fit into memory.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator

Parts = Iterable[str]
"""A text, cut anywhere."""
LARGEST_BLOCK = 65_536  # characters
BLOCKS_AT_LEAST = 4  # held-out blocks, where the text is long enough for it
SHORTEST_DOCUMENT = 100  # characters; shorter paragraphs ("Yes," he said.) recur by themselves
LONGEST_DOCUMENT = 1 << 24  # characters; a longer one is taken for no copy
_GAP = re.compile(r"\n[ \t]*\n\s*")


def hold_out_blocks(
    read: Callable[[], Parts], length: int, fraction: float
) -> Iterator[tuple[bool, str]]:
    """A text's blocks in their order, each with whether it is held out.

    One block in every ``1 / fraction`` is held out (at least one), evenly over the text, so
    that a book's middle and end are validated as well as its beginning. Blocks begin and end
    after a paragraph or a line where there is one near. Each part of the corpus is its blocks
    joined in order. ``read`` begins the text anew; ``length`` is its size in characters.
    """
    period = max(2, round(1 / fraction))
    size = min(LARGEST_BLOCK, max(200, length // (period * BLOCKS_AT_LEAST)))
    count = sum(1 for _ in _blocks(read(), size))
    none_due = math.floor(count * fraction + 0.5) == 0
    for i, block in enumerate(_blocks(read(), size)):
        before, after = (math.floor(n * fraction + 0.5) for n in (i, i + 1))
        yield (i == count // 2) if none_due else after > before, block


def _blocks(parts: Parts, size: int) -> Iterator[str]:
    """The text cut near every ``size`` characters."""
    reach, held = size // 4, ""
    for part in parts:
        held += part
        while len(held) > size + reach:
            cut = _cut_near(held, size, reach)
            yield held[:cut]
            held = held[cut:]
    while held:
        cut = _cut_near(held, size, reach)
        yield held[:cut]
        held = held[cut:]


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


def hold_out_end(parts: Parts, length: int, fraction: float) -> Iterator[tuple[bool, str]]:
    """Split off the last characters, as the users of some well-known corpora do."""
    left = int(length * (1 - fraction))
    for part in parts:
        if part[:left]:
            yield False, part[:left]
        if part[left:]:
            yield True, part[left:]
        left = max(left - len(part), 0)


class Copies:
    """Finds the paragraphs of a text that a held-out text has too, and counts them.

    Paragraphs are what empty lines separate; white space at line ends and the length of the gap
    do not count.
    """

    def __init__(self, held_out: Parts) -> None:
        self._known = {_key(one) for one, _ in _paragraphs(held_out)} - {b""}
        self.found = 0

    def left_out(self, parts: Parts) -> Iterator[str]:
        """The text without them. What remains keeps its bytes."""
        for paragraph, gap in _paragraphs(parts):
            if _key(paragraph) in self._known:
                self.found += 1
            else:
                yield paragraph + gap


def _key(paragraph: str) -> bytes:
    """16 bytes that stand for a paragraph; none for a short one, of which there are many alike."""
    if len(paragraph) < SHORTEST_DOCUMENT:
        return b""
    normal = "\n".join(line.strip() for line in paragraph.strip().splitlines())
    if len(normal) < SHORTEST_DOCUMENT:
        return b""
    return hashlib.blake2b(normal.encode(), digest_size=16).digest()


def _paragraphs(parts: Parts) -> Iterator[tuple[str, str]]:
    """Each paragraph with the gap behind it. Joined in order they are the text."""
    held = ""
    for part in parts:
        held += part
        begin = 0
        for gap in _GAP.finditer(held):
            if gap.end() == len(held):  # it may go on in the next part
                break
            yield held[begin : gap.start()], gap[0]
            begin = gap.end()
        held = held[begin:]
        if len(held) > LONGEST_DOCUMENT:
            yield held, ""
            held = ""
    begin = 0
    for gap in _GAP.finditer(held):
        yield held[begin : gap.start()], gap[0]
        begin = gap.end()
    yield held[begin:], ""
