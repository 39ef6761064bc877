"""The batching loop: who waits, who runs, one step for all of them at a time.

It shares the thread with the HTTP server: for a slice of time the model runs, then the server has
its turn. So nothing is handed between threads, and a client that has gone is known before the next
step. Sequences join and leave between steps. A prompt runs in chunks, one between two steps, so
that it holds up the others by one chunk at most.

Nothing here decides what a text is: each row's next token depends on its own logits, and those
have the same bits in any company (:mod:`tinytx.serve.startup` looks whether that holds).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tinytx.runtime.batch import PROMPT_CHUNK, Batch, Ids
from tinytx.runtime.decoder import Logits
from tinytx.serve.generation import Generation

log = logging.getLogger(__name__)
SLICE = 0.0005
"""Seconds for which the model runs before the server has its turn; a step is never cut, and when a
text has ended its turn comes at once. Whoever asks waits so much longer, while a slot is free."""
RETURN = 0.05
"""Seconds for which whoever has been answered is expected back. While fewer texts run than did just
before, the server has its turn after every step: who joins late runs longest alone."""
PIECE, MOST_PIECE = 0.002, 0.02
"""Seconds from one piece of a stream to the next, at least and at most: a client waits so much
longer for a token, and a text of many tokens is sent in so many fewer pieces."""
TELLING = 4.0
"""The model runs for so many times as long as the last pieces took to be sent, within those bounds:
with 32 streams they took as long as the model."""


class QueueFull(Exception):
    """No more requests are taken now."""


class Draining(Exception):
    """No more requests are taken at all: the server, or this model, is on its way out."""


class Loop:
    """Runs generations on a batch. All methods are for one thread, that of the event loop."""

    def __init__(self, batch: Batch, most_waiting: int, *, seconds: float = SLICE) -> None:
        """At most ``most_waiting`` generations wait for a slot. ``seconds``: of a slice."""
        self._most, self._most_at = 0, 0.0  # that ran at once lately, and when they last did
        self._tell_at = 0.0  # when streams are told next that there is something new
        self.batch, self.most_waiting, self._seconds = batch, most_waiting, seconds
        self.steps = self.step_rows = 0
        """Runs of the graph so far, and the rows of all of them together."""
        self._waiting: deque[Generation] = deque()
        self._prompting: Generation | None = None
        self._prompt_at = 0
        self._running: list[Generation] = []  # by slot
        self._next: list[int] = []  # the token that each appends in the next step
        self._ahead: int | None = None  # steps until the first of them ends, once looked for
        self._work = asyncio.Event()
        self._draining = False
        self._staying = 0

    @property
    def running(self) -> int:
        """Generations that have a slot."""
        return len(self._running) + (self._prompting is not None)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, generations: Sequence[Generation]) -> None:
        """Take all of a request's generations, or none: raises :class:`QueueFull` when some would
        find no place, :class:`Draining` when the loop is ending."""
        if self._draining and not self._staying:
            raise Draining
        free = self.batch.slots - self.running
        if len(self._waiting) + len(generations) > self.most_waiting + max(free, 0):
            raise QueueFull
        self._waiting.extend(generations)
        self._work.set()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Of a request that submits again and again: what it began it may end, though the loop is
        drained meanwhile. Raises :class:`Draining` when that has begun already."""
        if self._draining:
            raise Draining
        self._staying += 1
        try:
            yield
        finally:
            self._staying -= 1
            self._work.set()

    def drain(self) -> None:
        """Take nothing more; :meth:`run` returns when all that is here has ended."""
        self._draining = True
        self._work.set()

    async def run(self) -> None:
        """Until :meth:`drain` was called and everything has ended."""
        while True:
            if not (self._waiting or self.running):
                if self._draining and not self._staying:
                    return
                self._work.clear()
                await self._work.wait()
                continue
            now = time.monotonic()
            self._slice(now if self._expects(now) else now + self._seconds)
            if time.monotonic() < self._tell_at:
                await asyncio.sleep(0)
            else:
                await self._tell()

    def _expects(self, now: float) -> bool:
        """Whether somebody is likely to ask again at once."""
        if self.running >= self._most or now > self._most_at + RETURN:
            self._most, self._most_at = self.running, now
        return self.running < self._most

    async def _tell(self) -> None:
        """Each stream sends what has come; the more that takes, the later they do again."""
        for generation in self._running:
            if generation.streamed:
                generation.news.set()
        began = time.monotonic()
        await asyncio.sleep(0)
        ended = time.monotonic()
        self._tell_at = ended + min(max(TELLING * (ended - began), PIECE), MOST_PIECE)

    def _slice(self, until: float) -> None:
        """Run for a while; what goes wrong ends the texts that it hits, never the loop."""
        try:
            self._clear(time.monotonic())
            while True:
                self._prompt()
                ended = bool(self._running) and self._advance(until)
                if ended or not self.running or time.monotonic() >= until:
                    return
        except Exception as error:  # of onnxruntime, whose types share no base; or a fault of ours
            log.exception("a step failed")
            self._fail(f"the model could not be run: {type(error).__name__}")

    def _fail(self, why: str) -> None:
        for generation in self._everyone():
            if generation not in self._waiting:
                generation.end("failed", why)
        self._running.clear()
        self._next.clear()
        self._ahead = None
        self._prompting = None

    def _everyone(self) -> Iterator[Generation]:
        yield from self._waiting
        yield from self._running
        if self._prompting is not None:
            yield self._prompting

    def _clear(self, now: float) -> None:
        """Let go of who has gone, or has no time left, wherever they are."""
        ended = False
        for generation in self._everyone():
            if generation.deadline <= now:
                generation.end("deadline")
            ended = ended or generation.reason is not None
        if not ended:
            return
        self._waiting = deque(g for g in self._waiting if g.reason is None)
        if self._prompting is not None and self._prompting.reason is not None:
            self._prompting = None
        self._leave()

    def _prompt(self) -> None:
        """One chunk of the prompt that is being read, or of the next one that waits."""
        if self._prompting is None:
            if not self._waiting or len(self._running) == self.batch.slots:
                return
            self._prompting, self._prompt_at = self._waiting.popleft(), 0
        generation = self._prompting
        logits = self.batch.prompt(generation.ids, self._prompt_at)
        self._prompt_at += PROMPT_CHUNK
        if self._prompt_at < len(generation.ids):
            return
        self._prompting = None
        token = generation.choose(logits)
        generation.accept(token)
        if generation.reason is None:
            self.batch.enter(len(self._running), generation.ids)
            self._running.append(generation)
            self._next.append(token)
            self._ahead = None

    def _advance(self, until: float) -> bool:
        """One step, or as many as nothing can come between; whether a text has ended."""
        if self._ahead is None:
            known = all(generation.foreseeable for generation in self._running)
            self._ahead = min(generation.left for generation in self._running) if known else 0
        busy = self._waiting and len(self._running) < self.batch.slots
        if self._ahead and not busy and self._prompting is None:
            self._ahead -= self._steps(until, self._ahead)
            if self._ahead:
                return False
        else:
            self._step()
            self._ahead = None
            if all(generation.reason is None for generation in self._running):
                return False
        self._leave()
        return True

    def _steps(self, until: float, most: int) -> int:
        """Up to ``most`` steps, until time is up; each text gets its tokens at the end. Returns how
        many there were."""
        taken: list[Ids] = []
        tokens: Ids | list[int] = self._next
        while len(taken) < most and (not taken or time.monotonic() < until):
            best: Ids = self._run(tokens).argmax(axis=1)
            taken.append(best)
            tokens = best
        columns: list[list[int]] = np.array(taken).T.tolist()
        for generation, column in zip(self._running, columns, strict=True):
            generation.extend(column)
        self._next = [column[-1] for column in columns]
        return len(taken)

    def _step(self) -> None:
        """The next token of each running text."""
        tokens = self._choose(self._run(self._next))
        self._next = tokens
        for generation, token in zip(self._running, tokens, strict=True):
            generation.accept(token)

    def _run(self, tokens: Ids | list[int]) -> Logits:
        logits = self.batch.step(tokens)
        self.steps += 1
        self.step_rows += len(tokens)
        return logits

    def _choose(self, logits: Logits) -> list[int]:
        if all(generation.plain for generation in self._running):
            found: list[int] = logits.argmax(axis=1).tolist()
            return found
        pairs = zip(self._running, logits, strict=True)
        return [generation.choose(row) for generation, row in pairs]

    def _leave(self) -> None:
        """Who has ended gives its slot to the last one, from the last slot on."""
        self._ahead = None
        for slot in range(len(self._running) - 1, -1, -1):
            if self._running[slot].reason is None:
                continue
            last = len(self._running) - 1
            if slot != last:
                self.batch.move(last, slot)
                self._running[slot], self._next[slot] = self._running[last], self._next[last]
            self._running.pop()
            self._next.pop()
