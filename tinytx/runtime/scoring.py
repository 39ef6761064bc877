"""How well a model predicts a text: bits per byte, token by token through the decode graph.

Protocol: windows of the context's length, each beginning ``stride`` tokens after the last. Every
token is predicted once, in the first window that holds it. With ``stride`` equal to the context
windows do not overlap: the protocol of the manifest's quality. A smaller stride keeps the last
``context - stride`` tokens in sight, so that the figure is lower and takes longer.

Bits per byte = total nats / ln 2 / bytes of text, which no choice of vocabulary can flatter.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinytx.errors import UsageError
from tinytx.runtime.decoder import Decoder, Logits


@dataclass(frozen=True)
class Score:
    """The loss of a model on a text."""

    nats: float
    """The sum of -ln p over all tokens."""
    tokens: int
    bytes: int
    """Of the text in UTF-8."""

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens


def score(decoder: Decoder, text: str, stride: int | None = None) -> Score:
    """Score ``text``, preceded by the start token; the decoder's context is overwritten.

    Raises :class:`UsageError` when the text is empty or no valid text, or ``stride`` is not from
    1 to the context's length (its default).
    """
    limit = decoder.facts.max_seq_length
    step = limit if stride is None else stride
    if not 1 <= step <= limit:
        raise UsageError(f"stride must be from 1 to the context's {limit} tokens, not {stride}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError("the text to score is not valid UTF-8 text") from error
    if size == 0:
        raise UsageError("there is no text to score: it is empty")
    ids = [decoder.tokenizer.start_id, *decoder.tokenizer.encode(text)]
    total = 0.0
    decoder.reset()
    for i in range(len(ids) - 1):
        first = i  # ids[first : i + 1] are appended, and ids[i + 1] is then predicted
        if decoder.length == limit:
            decoder.reset()
            first = i - (limit - step)
        total += _nats(decoder.append(ids[first : i + 1]), ids[i + 1])
    return Score(total, len(ids) - 1, size)


def _nats(logits: Logits, token: int) -> float:
    """-ln softmax(logits)[token], in double precision."""
    wide = logits.astype(np.float64)
    peak = wide.max()
    return float(np.log(np.exp(wide - peak).sum()) + peak - wide[token])
