"""Text out of an engine, streamed piece by piece; partial UTF-8 is never given out.

When the context is full, a generation ends ("stop"), or goes on with a window that slides: the
newest half of the tokens is computed anew as a context of its own. Nothing else is exact, since
each cached key and value depends on every token before it; one prompt of half the context for each
half that is generated costs little beside the tokens themselves.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinytx.errors import UsageError
from tinytx.runtime.sampling import Sampler, Sampling

if TYPE_CHECKING:
    from tinytx.runtime.engine import Engine

WhenFull = Literal["stop", "slide"]


@dataclass
class Outcome:
    """Filled in while a generation runs."""

    prompt_tokens: int = 0
    tokens: int = 0
    """Tokens generated so far."""
    slides: int = 0
    """How often the oldest half of the context was forgotten."""
    stopped: str = ""
    """Why it ended: "length" (as many tokens as asked), "context" (full) or "stop"."""


def prompt_ids(engine: "Engine", prompt: str) -> list[int]:
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
    engine: "Engine",
    prompt: str,
    *,
    max_tokens: int = 128,
    sampling: Sampling | None = None,
    stop: str | Sequence[str] = (),
    when_full: WhenFull = "stop",
    outcome: Outcome | None = None,
) -> Iterator[str]:
    """The continuation of ``prompt``, an iterator of text that is always whole characters.

    Ends after ``max_tokens`` tokens, before any of the texts in ``stop`` appears, or when the
    context is full and ``when_full`` is "stop".
    Raises :class:`UsageError`, at once, when the prompt does not fit or an option makes no sense.
    """
    stops = (stop,) if isinstance(stop, str) and stop else tuple(stop)
    if "" in stops:
        raise UsageError("a stop text must not be empty")
    if when_full not in ("stop", "slide"):
        raise UsageError(f"when-full must be stop or slide, not {when_full!r}")
    outcome = outcome if outcome is not None else Outcome()
    sampler = Sampler(sampling or Sampling())
    ids = prompt_ids(engine, prompt)
    outcome.prompt_tokens = len(ids)
    tokens = _tokens(engine, ids, sampler, max_tokens, when_full, outcome)
    return _until(stops, _pieces(tokens, engine.tokenizer.piece_bytes), outcome)


def _tokens(
    engine: "Engine",
    context: list[int],
    sampler: Sampler,
    max_tokens: int,
    when_full: WhenFull,
    outcome: Outcome,
) -> Iterator[int]:
    """One token id after the other. ``context`` grows with them and, sliding, loses its start."""
    limit = engine.facts.max_seq_length
    outcome.stopped = "length"
    engine.reset()
    pending: list[int] = list(context)
    while outcome.tokens < max_tokens:
        if engine.length + len(pending) > limit:
            if when_full == "stop":
                outcome.stopped = "context"
                return
            context = context[-max(limit // 2, 1) :]
            pending = list(context)
            engine.reset()
            outcome.slides += 1
        token = sampler(engine.append(pending), context)
        pending = [token]
        context.append(token)
        outcome.tokens += 1
        yield token


def _pieces(tokens: Iterator[int], table: list[bytes]) -> Iterator[str]:
    """Whole characters of each token; the bytes of an unfinished one wait for the next."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        if text := decoder.decode(table[token]):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _until(stops: Sequence[str], pieces: Iterator[str], outcome: Outcome) -> Iterator[str]:
    """Ends before the first of the stop texts; holds back what could be the beginning of one."""
    held = ""
    for text in pieces:
        held += text
        if stops and (end := _first_match(held, stops)) is not None:
            outcome.stopped = "stop"
            if end:
                yield held[:end]
            return
        keep = max((_longest_overlap(held, stop) for stop in stops), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


def _first_match(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop text begins that is complete first; it does not depend on the pieces."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _longest_overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that could be the beginning of ``stop``."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
