"""Tokens in, text out: whole characters only, and nothing of a stop text.

A token may end in the middle of a character, and a piece of text may be the beginning of a stop
text. Both wait until it is known what they become, so the pieces joined are the same however the
tokens were handed over.
"""

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of one generation, piece by piece."""

    def __init__(self, piece_bytes: Sequence[bytes], stops: Sequence[str] = ()) -> None:
        """``piece_bytes`` are the bytes of each token id; ``stops`` are not empty texts."""
        self._table, self.stops = piece_bytes, stops
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        """Whether a stop text has appeared: the text has ended before it."""

    def push(self, token: int) -> str:
        """What can be given out now that ``token`` has come; often nothing."""
        text = self._decoder.decode(self._table[token])
        return self._release(text) if text and self.stops else text

    def push_all(self, tokens: Sequence[int]) -> list[str]:
        """The same for several tokens in a row: pieces that joined are those of each token."""
        if self.stops:
            return [self.push(token) for token in tokens]
        return [self._decoder.decode(b"".join([self._table[token] for token in tokens]))]

    def finish(self) -> str:
        """What was still held back, when no more tokens come."""
        if self.stopped:
            return ""
        text = self._decoder.decode(b"", final=True)
        if self.stops:
            text = self._release(text) + self._held
            self._held = ""
        return text

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        held = self._held + text
        if (cut := _first_stop(held, self.stops)) is not None:
            self.stopped, self._held = True, ""
            return held[:cut]
        keep = max(_longest_overlap(held, stop) for stop in self.stops)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop text begins that is complete first, read character by character; the longest
    of those that end at once. So it does not matter how the text was cut into pieces."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _longest_overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that could be the beginning of ``stop``."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
