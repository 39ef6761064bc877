"""A loaded bundle that answers: its batch, its loop, and what a request means to it."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tinytx.bundle import Bundle, Precision
from tinytx.runtime.sampling import Sampling
from tinytx.runtime.text import TextStream
from tinytx.serve.generation import Generation
from tinytx.serve.loop import Loop
from tinytx.serve.requests import Completion, RequestError
from tinytx.tokenizer import Tokenizer

PART_CHARACTERS = 10_000
"""Of a long text that is cut into tokens at once: a few milliseconds of work."""
DEFAULT_TOKENS = 16
"""How many tokens a request gets that does not say: OpenAI's own default."""


@dataclass
class Model:
    """One release that is being served."""

    bundle: Bundle
    precision: Precision
    tokenizer: Tokenizer
    loop: Loop
    since: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def __post_init__(self) -> None:
        self._longest = max(map(len, self.tokenizer.piece_bytes))  # bytes of a token

    @property
    def name(self) -> str:
        return f"tinytx-{self.bundle.id[:12]}"

    def check_name(self, asked: str | None) -> None:
        """Raises :class:`RequestError` when ``asked`` is another model."""
        if asked not in (None, "tinytx", self.name, self.bundle.id):
            raise RequestError(
                f"there is no model {asked[:100]!r} here; this server has {self.name!r}",
                "model",
                status=404,
                code="model_not_found",
            )

    def ids(self, prompt: str | list[int], most: int) -> list[int]:
        """Token ids of a prompt, the start token first, which leaves room for ``most`` more.

        Raises :class:`RequestError` for a prompt that is no text, no tokens or too long."""
        facts = self.bundle.manifest.model
        if isinstance(prompt, str):
            size = len(_utf8(prompt, "prompt"))
            if size > self._longest * facts.max_seq_length:  # not worth cutting into tokens
                raise RequestError(
                    f"the prompt has {size} bytes, more than {facts.max_seq_length} tokens can "
                    "hold, which is this model's context",
                    "prompt",
                    code="context_length_exceeded",
                )
            prompt = self.tokenizer.encode(prompt)
        elif max(prompt, default=0) >= facts.vocab_size:
            raise RequestError(
                f"a token id is below {facts.vocab_size}, not {max(prompt)}", "prompt"
            )
        ids = [self.tokenizer.start_id, *prompt]
        room = facts.max_seq_length + 1 - len(ids)
        if room < max(most, 1):
            raise RequestError(
                f"the prompt has {len(prompt)} tokens; this model's context of "
                f"{facts.max_seq_length} has room for {max(room, 0)} more, and {most} were asked",
                "max_tokens" if room > 0 else "prompt",
                code="context_length_exceeded",
            )
        return ids

    def generations(self, asked: Completion, deadline: float) -> list[Generation]:
        """One for each choice of each prompt, in the order of the answer's indices.

        Raises :class:`RequestError`, also for more than could ever be taken at once."""
        most_texts = self.loop.batch.slots + self.loop.most_waiting
        prompts = asked.prompts
        if len(prompts) * (asked.n or 1) > most_texts:
            raise RequestError(
                f"{len(prompts)} x {asked.n or 1} texts are asked; this server takes at most "
                f"{most_texts} in one request",
                "prompt" if len(prompts) > most_texts else "n",
            )
        seed = int.from_bytes(os.urandom(4), "little") if asked.seed is None else asked.seed
        made, news = [], asyncio.Event()
        for prompt in prompts:
            ids = self.ids(prompt, asked.max_tokens or 0)
            room = self.bundle.manifest.model.max_seq_length + 1 - len(ids)
            most = min(DEFAULT_TOKENS, room) if asked.max_tokens is None else asked.max_tokens
            for choice in range(asked.n or 1):
                sampling = asked.sampling(choice, seed)
                made.append(self._one(asked, ids, most, sampling, deadline, news))
        return made

    def _one(
        self,
        asked: Completion,
        ids: list[int],
        most: int,
        sampling: Sampling,
        deadline: float,
        news: asyncio.Event,
    ) -> Generation:
        told = bool(asked.echo) and asked.logprobs is not None
        made = Generation(
            ids[:1] if told else ids,
            most,
            sampling=sampling,
            forced=ids[1:] if told else (),
            text=TextStream(self.tokenizer.piece_bytes, asked.stops),
            streamed=bool(asked.stream),
            likelihoods=asked.logprobs,
            deadline=deadline,
            news=news,
        )
        if not (most or made.forced):
            made.end("length")  # the model has nothing to do
        return made

    def scoring(self, ids: Sequence[int], deadline: float) -> Iterator[Generation]:
        """What :func:`tinytx.runtime.scoring.score` does, window by window: each token but the
        first is predicted once, from at most the context before it."""
        limit = self.bundle.manifest.model.max_seq_length
        for start in range(0, len(ids) - 1, limit):
            window = ids[start : start + limit + 1]
            yield Generation(
                window[:1],
                0,
                sampling=Sampling(),
                text=TextStream(self.tokenizer.piece_bytes),
                forced=window[1:],
                likelihoods=0,
                deadline=deadline,
            )

    async def ids_of(self, text: str) -> list[int]:
        """Token ids, the start token first; others are served while a long text is cut into them.

        Raises :class:`RequestError` for what is no text, or an empty one."""
        if not _utf8(text, "text"):
            raise RequestError("text must not be empty", "text")
        ids = [self.tokenizer.start_id]
        for part in _lines(text):
            ids += await asyncio.to_thread(self.tokenizer.encode, part)
        return ids


def _lines(text: str) -> Iterator[str]:
    """Parts of some length that end with a line: no token goes on after the end of a line, so they
    have the tokens of the whole."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + PART_CHARACTERS) + 1 or len(text)
        yield text[start:end]
        start = end


def _utf8(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{field} is not valid Unicode text", field) from error
