"""How well a bundle's model predicts a text: bits per byte, which no vocabulary can flatter."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.runtime.engine import Engine


@dataclass(frozen=True)
class Score:
    """The cost of a text under a model."""

    nats: float
    """Sum of -ln p(token | tokens before it)."""
    tokens: int
    bytes: int
    """Of the text in UTF-8."""

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens


def score(engine: "Engine", text: str) -> Score:
    """The score of ``text``, read from its beginning after the start token.

    A text longer than the context is read in windows that overlap by half: each begins anew with
    the newest half of the tokens, so that every token but the first ones is predicted from at
    least half a context. Raises :class:`UsageError` when the text is empty or not valid UTF-8.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError("the text is not valid UTF-8") from error
    ids = engine.tokenizer.encode(text)
    if not ids:
        raise UsageError("an empty text has no score")
    limit = engine.facts.max_seq_length
    context = [engine.tokenizer.start_id]
    engine.reset()
    pending, nats = list(context), 0.0
    for token in ids:
        if engine.length + len(pending) > limit:
            context = context[-max(limit // 2, 1) :]
            pending = list(context)
            engine.reset()
        nats -= log_probability(engine.append(pending), token)
        context.append(token)
        pending = [token]
    return Score(nats=nats, tokens=len(ids), bytes=size)


def log_probability(logits: NDArray[np.float32], token: int) -> float:
    """ln softmax(logits)[token], in float64."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(wide[token] - top - np.log(np.exp(wide - top).sum()))
