"""Text out of a decoder, streamed piece by piece; partial UTF-8 is never given out.

A full context either ends the text or slides: the oldest half is dropped and the rest is computed
anew from position 0, so that every key and value is what a fresh context would hold. Moving the
cache along instead would leave keys rotated for positions that they no longer have, and values
that still know of tokens which are gone (docs/decisions/0015).
"""

import codecs
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinytx.errors import UsageError
from tinytx.runtime.decoder import Decoder
from tinytx.runtime.sampling import Sampler, Sampling

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
    return _until(stops, _pieces(decoder, tokens), outcome)


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


def _pieces(decoder: Decoder, tokens: Iterator[int]) -> Iterator[str]:
    """Whole characters of each token; the bytes of an unfinished one wait for the next."""
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
    table = decoder.tokenizer.piece_bytes
    for token in tokens:
        if text := utf8.decode(table[token]):
            yield text
    if text := utf8.decode(b"", final=True):
        yield text


def _until(stops: Sequence[str], pieces: Iterator[str], outcome: Outcome) -> Iterator[str]:
    """Holds back what could be the beginning of a stop text, and ends before the first one."""
    held = ""
    for text in pieces:
        held += text
        if (cut := _first_stop(held, stops)) is not None:
            outcome.stopped = "stop"
            if cut:
                yield held[:cut]
            return
        keep = max((_longest_overlap(held, stop) for stop in stops), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


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
