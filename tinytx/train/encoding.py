"""Text files to token files, in parts of bounded size, by several processes where a text is large.

SentencePiece holds Python's lock while it works, so threads would wait for one another.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

import numpy as np

from tinytx.errors import TokenizerError, os_errors_as
from tinytx.tokenizer import ENCODE_CHUNK, Tokenizer
from tinytx.workspace import atomic_file

WORTH_PROCESSES = 20_000_000
"""Bytes of text from which on more processes than one pay: each takes half a second to start."""
AHEAD = 2
"""Parts for each process that are read before their turn."""
Told = Callable[[int], None]
"""Takes the bytes of text that are done."""


def write_tokens(
    text_file: Path,
    tokenizer: Tokenizer,
    target: Path,
    tell: Told = lambda _: None,
    processes: int = 0,
) -> int:
    """Tokenise a text file; returns the number of tokens written, the start token included.

    The tokens are the same from any number of ``processes``; 0 takes the cores that may be used,
    or one for a text that is soon done. Raises :class:`TokenizerError` when a file cannot be read
    or written.
    """
    count, done = 1, 0
    with os_errors_as(TokenizerError, "write the tokens"), atomic_file(target) as file:
        file.write(np.array([tokenizer.start_id], "<u2").tobytes())
        with text_file.open(encoding="utf-8", newline="") as text:
            if not processes:
                large = text_file.stat().st_size >= WORTH_PROCESSES
                processes = len(os.sched_getaffinity(0)) if large else 1
            parts = _parts(text)
            encoded: Iterator[tuple[bytes, str]]
            if processes == 1:
                encoded = ((_encode(tokenizer, part), part) for part in parts)
            else:
                encoded = _by_processes(parts, tokenizer, processes)
            for ids, part in encoded:
                file.write(ids)
                count += len(ids) // 2
                done += len(part.encode())
                tell(done)
    return count


def _parts(text: TextIO) -> Iterator[str]:
    """The text cut after newlines into parts of at most :data:`ENCODE_CHUNK` characters, so that
    no piece straddles a cut; only a longer line is cut elsewhere."""
    lines: list[str] = []
    size = 0
    while line := text.readline(ENCODE_CHUNK):
        if size + len(line) > ENCODE_CHUNK:
            yield "".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield "".join(lines)


def _encode(tokenizer: Tokenizer, part: str) -> bytes:
    return np.array(tokenizer.encode(part), "<u2").tobytes()


def _by_processes(
    parts: Iterator[str], tokenizer: Tokenizer, processes: int
) -> Iterator[tuple[bytes, str]]:
    """Each part's tokens in order. Only so many parts are read ahead as keep all busy."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (tokenizer.model,))
    waiting: deque[tuple[Future[bytes], str]] = deque()
    try:
        for part in parts:
            waiting.append((pool.submit(_encode_here, part), part))
            if len(waiting) > AHEAD * processes:
                future, begun = waiting.popleft()
                yield future.result(), begun
        while waiting:
            future, begun = waiting.popleft()
            yield future.result(), begun
    except BrokenProcessPool as error:
        raise TokenizerError(
            "a process that makes tokens was ended from outside",
            "there may be too little memory: run the same command again with less beside it",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_own: list[Tokenizer] = []
"""The tokenizer of a process of :func:`_by_processes`."""


def _begin(model: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to hear
    _own.append(Tokenizer(model))


def _encode_here(part: str) -> bytes:
    return _encode(_own[0], part)
