"""One text in the making: what was asked for, what has come, and why it ended."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinytx.runtime.decoder import Logits
from tinytx.runtime.sampling import Sampler, Sampling
from tinytx.runtime.text import TextStream

Reason = Literal["length", "stop", "cancelled", "deadline", "failed"]


@dataclass(frozen=True)
class Likelihood:
    """How probable a token was among all: natural logarithms of the model's own probabilities,
    before temperature, top-k, top-p, min-p or a penalty."""

    token: int
    logprob: float
    best: tuple[tuple[int, float], ...]
    """The most probable token ids, most probable first, as many as were asked for."""


class Generation:
    """A prompt and its continuation, which the loop adds to and a handler reads."""

    def __init__(
        self,
        ids: Sequence[int],
        most: int,
        *,
        sampling: Sampling,
        forced: Sequence[int] = (),
        text: TextStream,
        streamed: bool = False,
        likelihoods: int | None = None,
        deadline: float = math.inf,
        news: asyncio.Event | None = None,
    ) -> None:
        """``ids`` are the prompt's, not empty; at most ``most`` tokens are sampled after it, and
        after the ``forced`` ones, which follow the prompt one by one, so that each has a
        likelihood. ``text`` is pushed each sampled token, and ends the generation when it stops;
        of a ``streamed`` one there is news as it comes, of another only when it has ended.
        ``likelihoods``: how many of the best tokens are told beside each. ``deadline`` is of
        :func:`time.monotonic`. ``news`` is set when there is something new, or it has ended;
        several generations may share one."""
        self.ids, self.most, self.forced, self.text = list(ids), most, list(forced), text
        self.deadline, self._wanted = deadline, likelihoods
        self._sampler: Sampler | None = None
        if sampling.temperature != 0.0 or sampling.repetition_penalty != 1.0:
            self._sampler = Sampler(sampling)
            self._sampler.observe([*self.ids, *self.forced])
        self.plain = self._sampler is None and likelihoods is None and not self.forced
        """Whether the next token is simply the most probable one, and nothing else is asked."""
        self.foreseeable = self.plain and not text.stops
        """Whether it is also known when it ends: with its last token."""
        self.tokens: list[int] = []
        """What was sampled."""
        self.likelihoods: list[Likelihood] = []
        """Of the forced tokens, then of the sampled ones, if they were asked for."""
        self.streamed = streamed
        self._pieces: list[str] = []
        self._read = 0  # tokens that the text was pushed
        self.reason: Reason | None = None
        self.error = ""
        self.news = news or asyncio.Event()

    @property
    def left(self) -> int:
        """How many more tokens are wanted at most."""
        return self.most - len(self.tokens)

    def choose(self, logits: Logits) -> int:
        """The next token from its logits [vocab], forced or sampled."""
        at = len(self.likelihoods) if self._wanted is not None else 0
        if self._wanted is not None and at < len(self.forced):
            token = self.forced[at]
        elif self._sampler is not None:
            token = self._sampler(logits)
            self._sampler.observe([token])
        else:
            token = int(logits.argmax())
        if self._wanted is not None:
            self.likelihoods.append(likelihood(logits, token, self._wanted))
        return token

    def accept(self, token: int) -> None:
        """Take the next token; sets :attr:`reason` when it was the last."""
        if self.forced and len(self.likelihoods) <= len(self.forced):
            if self.most == 0 and len(self.likelihoods) == len(self.forced):
                self.end("length")
            return
        self.tokens.append(token)
        if self.text.stops:
            self._push()
            if self.text.stopped:
                self.end("stop")
                return
        if len(self.tokens) >= self.most:
            self.end("length")

    def extend(self, tokens: list[int]) -> None:
        """Take several tokens of a foreseeable one, :attr:`left` at most."""
        self.tokens += tokens
        if len(self.tokens) >= self.most:
            self.end("length")

    def end(self, reason: Reason, error: str = "") -> None:
        """Nothing more comes; the first reason stays."""
        if self.reason is not None:
            return
        self.reason, self.error = reason, error
        if self.text.stops:
            self._push()
            self._pieces.append(self.text.finish())
            if self.text.stopped:
                self.reason = "stop"
        self.news.set()

    def take(self) -> str:
        """The text that has come since the last call."""
        self._push()
        if self.reason is not None and not self.text.stops:
            self._pieces.append(self.text.finish())
        text = "".join(self._pieces)
        self._pieces.clear()
        return text

    def _push(self) -> None:
        self._pieces += self.text.push_all(self.tokens[self._read :])
        self._read = len(self.tokens)


def likelihood(logits: Logits, token: int, best: int) -> Likelihood:
    """ln softmax(logits) of ``token``, and of the ``best`` most probable, in double precision."""
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= math.log(np.exp(wide).sum())
    ids: list[int] = []
    if best:
        largest = np.argpartition(-wide, min(best, len(wide) - 1))[:best]
        ids = sorted(largest.tolist(), key=lambda i: (-wide[i], i))
    return Likelihood(token, float(wide[token]), tuple((i, float(wide[i])) for i in ids))
