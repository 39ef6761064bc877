"""Text out of an engine, streamed piece by piece; partial UTF-8 is never given out."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from tinytx.errors import UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.sampling import Sampler, Sampling


@dataclass
class Outcome:
    """Filled in while a generation runs."""

    prompt_tokens: int = 0
    tokens: int = 0
    """Tokens generated so far."""
    stopped: str = ""
    """Why it ended: "length" (as many tokens as asked), "context" (full) or "stop"."""


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
    stop: str = "",
    outcome: Outcome | None = None,
) -> Iterator[str]:
    """The continuation of ``prompt``, an iterator of text that is always whole characters.

    Ends after ``max_tokens`` tokens, when the context is full, or before ``stop`` appears.
    Raises :class:`UsageError`, at once, when the prompt does not fit.
    """
    outcome = outcome if outcome is not None else Outcome()
    sampler = Sampler(sampling or Sampling())
    ids = prompt_ids(engine, prompt)
    outcome.prompt_tokens = len(ids)
    return _until(stop, _pieces(engine, ids, sampler, max_tokens, outcome), outcome)


def _until(stop: str, pieces: Iterator[str], outcome: Outcome) -> Iterator[str]:
    """Holds back what could be the beginning of ``stop``."""
    held = ""
    for text in pieces:
        held += text
        if stop and stop in held:
            outcome.stopped = "stop"
            yield held[: held.index(stop)]
            return
        keep = _longest_overlap(held, stop)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


def _pieces(
    engine: Engine, ids: list[int], sampler: Sampler, max_tokens: int, outcome: Outcome
) -> Iterator[str]:
    """Whole characters of each token; the bytes of an unfinished one wait for the next."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    table = engine.tokenizer.piece_bytes
    outcome.stopped = "length"
    engine.reset()
    pending = ids
    while outcome.tokens < max_tokens:
        if engine.length + len(pending) > engine.facts.max_seq_length:
            outcome.stopped = "context"
            break
        token = sampler(engine.append(pending))
        pending = [token]
        outcome.tokens += 1
        if text := decoder.decode(table[token]):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _longest_overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that could be the beginning of ``stop``."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
