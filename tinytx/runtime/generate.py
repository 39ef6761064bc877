"""Text out of a decoder, streamed piece by piece; partial UTF-8 is never given out.

A full context either ends the text or slides: the oldest half is dropped and the rest is computed
anew from position 0, so that every key and value is what a fresh context would hold. Moving the
cache along instead would leave keys rotated for positions that they no longer have, and values
that still know of tokens which are gone (docs/decisions/0015).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinytx.errors import UsageError
from tinytx.runtime.decoder import Decoder
from tinytx.runtime.sampling import Sampler, Sampling
from tinytx.runtime.text import TextStream

WhenFull = Literal["stop", "slide"]
clock = time.perf_counter


@dataclass
class Outcome:
    """Filled in while a generation runs."""

    prompt_tokens: int = 0
    """Tokens of the prompt, the start token included."""
    prompt_dropped: int = 0
    """How many of them, from the beginning, had left the context before the first token came."""
    tokens: int = 0
    """Tokens generated so far."""
    stopped: str = ""
    """Why it ended: "length" (as many tokens as asked), "context" (full) or "stop" (a stop text);
    "interrupted" while it has not."""
    slides: int = 0
    """How often the context was full and its oldest half was dropped."""
    prompt_seconds: float = field(default=0.0, compare=False)
    """Seconds until the first token was there."""
    seconds: float = field(default=0.0, compare=False)
    """Seconds from the start to the last token, without what its reader took."""


def prompt_ids(decoder: Decoder, prompt: str, when_full: WhenFull = "stop") -> list[int]:
    """Token ids of a prompt, the start token first.

    Raises :class:`UsageError` when the prompt leaves no room for one token in a context that may
    not slide, or is not text (an argument's invalid UTF-8 arrives as lone surrogates).
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not valid UTF-8 text") from error
    ids = [decoder.tokenizer.start_id, *decoder.tokenizer.encode(prompt)]
    limit = decoder.facts.max_seq_length
    if len(ids) >= limit and when_full == "stop":
        raise UsageError(
            f"the prompt is {len(ids) - 1} tokens long; "
            f"this model's context of {limit} has room for {limit - 2}",
            "shorten it, or let the context slide (--when-full slide): only its end counts then",
        )
    return ids


def generate(
    decoder: Decoder,
    prompt: str,
    *,
    max_tokens: int = 128,
    sampling: Sampling | None = None,
    stop: str | Sequence[str] = (),
    when_full: WhenFull = "stop",
    outcome: Outcome | None = None,
) -> Iterator[str]:
    """The continuation of ``prompt``, an iterator of text that is always whole characters.

    Ends after ``max_tokens`` tokens, when the context is full (unless it may slide), or before
    one of the texts in ``stop`` appears. A prompt longer than a context that may slide goes
    through it like generated text. Raises :class:`UsageError`, at once, when the prompt does not
    fit otherwise or an argument makes no sense.
    """
    stops = [stop] * bool(stop) if isinstance(stop, str) else list(stop)
    if "" in stops:
        raise UsageError("a stop text must not be empty")
    if max_tokens < 1:
        raise UsageError(f"max-tokens must be 1 or more, not {max_tokens}")
    if when_full not in ("stop", "slide"):
        raise UsageError(f"when-full must be stop or slide, not {when_full!r}")
    outcome = outcome if outcome is not None else Outcome()
    sampler = Sampler(sampling or Sampling())
    ids = prompt_ids(decoder, prompt, when_full)
    sampler.observe(ids)
    outcome.prompt_tokens = len(ids)
    tokens = _tokens(decoder, ids, sampler, max_tokens, when_full, outcome)
    return _texts(TextStream(decoder.tokenizer.piece_bytes, stops), tokens, outcome)


def _tokens(
    decoder: Decoder,
    ids: list[int],
    sampler: Sampler,
    max_tokens: int,
    when_full: WhenFull,
    outcome: Outcome,
) -> Iterator[int]:
    """Token ids, one by one. ``ids`` becomes what the context holds."""
    outcome.stopped = "interrupted"
    decoder.reset()
    limit = decoder.facts.max_seq_length
    ids, outcome.slides = _slid(ids, limit)
    outcome.prompt_dropped = outcome.prompt_tokens - len(ids)
    while outcome.tokens < max_tokens:
        full = len(ids) > limit
        if full and when_full == "stop":
            outcome.stopped = "context"
            return
        began = clock()
        if full:
            ids, slides = _slid(ids, limit)
            decoder.reset()
            outcome.slides += slides
        token = sampler(decoder.append(ids[decoder.length :]))
        sampler.observe([token])
        ids.append(token)
        outcome.seconds += clock() - began
        outcome.prompt_seconds = outcome.prompt_seconds or outcome.seconds
        outcome.tokens += 1
        yield token
    outcome.stopped = "length"


def _slid(ids: list[int], limit: int) -> tuple[list[int], int]:
    """What a context of ``limit`` tokens holds after ``ids`` came one by one, and its slides.

    Each time that one token more than the limit is there, the newest half of them stays.
    """
    dropped = limit + 1 - (limit + 1) // 2
    slides = max(0, -((limit - len(ids)) // dropped))  # (len - limit) / dropped, rounded up
    return ids[slides * dropped :], slides


def _texts(stream: TextStream, tokens: Iterator[int], outcome: Outcome) -> Iterator[str]:
    """The pieces of ``stream`` that are not empty; ends when it has met a stop text."""
    for token in tokens:
        text = stream.push(token)
        if stream.stopped:
            outcome.stopped = "stop"
        if text:
            yield text
        if stream.stopped:
            return
    text = stream.finish()
    if stream.stopped:
        outcome.stopped = "stop"
    if text:
        yield text
