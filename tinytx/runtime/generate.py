"""Text out of an engine, streamed piece by piece; partial UTF-8 is never given out.

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
from tinytx.runtime.engine import Engine
from tinytx.runtime.sampling import Sampler, Sampling
from tinytx.runtime.text import TextStream

WhenFull = Literal["stop", "slide"]
clock = time.perf_counter


@dataclass
class Outcome:
    """Filled in while a generation runs."""

    prompt_tokens: int = 0
    """Tokens of the prompt, the start token included."""
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


def prompt_ids(engine: Engine, prompt: str) -> list[int]:
    """Token ids of a prompt, the start token first.

    Raises :class:`UsageError` when the prompt leaves no room for one token in the context, or
    is not text (an argument's invalid UTF-8 arrives as lone surrogates).
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not valid UTF-8 text") from error
    ids = [engine.tokenizer.start_id, *engine.tokenizer.encode(prompt)]
    limit = engine.facts.max_seq_length
    if len(ids) >= limit:
        raise UsageError(
            f"the prompt is {len(ids) - 1} tokens long; "
            f"this model's context of {limit} has room for {limit - 2}"
        )
    return ids


def generate(
    engine: Engine,
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
    one of the texts in ``stop`` appears. Raises :class:`UsageError`, at once, when the prompt
    does not fit or an argument makes no sense.
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
    ids = prompt_ids(engine, prompt)
    sampler.observe(ids)
    outcome.prompt_tokens = len(ids)
    tokens = _tokens(engine, ids, sampler, max_tokens, when_full, outcome)
    return _texts(TextStream(engine.tokenizer.piece_bytes, stops), tokens, outcome)


def _tokens(
    engine: Engine,
    ids: list[int],
    sampler: Sampler,
    max_tokens: int,
    when_full: WhenFull,
    outcome: Outcome,
) -> Iterator[int]:
    """Token ids, one by one. ``ids`` becomes what the context holds."""
    outcome.stopped = "interrupted"
    engine.reset()
    limit = engine.facts.max_seq_length
    ids = list(ids)
    while outcome.tokens < max_tokens:
        full = len(ids) > limit
        if full and when_full == "stop":
            outcome.stopped = "context"
            return
        began = clock()
        if full:
            ids = ids[-((limit + 1) // 2) :]
            engine.reset()
            outcome.slides += 1
        token = sampler(engine.append(ids[engine.length :]))
        sampler.observe([token])
        ids.append(token)
        outcome.seconds += clock() - began
        outcome.prompt_seconds = outcome.prompt_seconds or outcome.seconds
        outcome.tokens += 1
        yield token
    outcome.stopped = "length"


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
