"""The answer to one request for completions: whole, or streamed as server-sent events.

Both are small ASGI applications of their own: while the model works, they listen whether the
client is still there. One that has gone gives its slots back before the next step.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tinytx.serve import answers
from tinytx.serve.forms import Choice, Usage
from tinytx.serve.generation import Generation
from tinytx.serve.model import Model
from tinytx.serve.requests import Completion, RequestError

if TYPE_CHECKING:
    from tinytx.serve.service import Service

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGone(Exception):
    """Nobody reads any more."""


class Listening:
    """Waits for news of generations, and hears meanwhile when their client has gone."""

    def __init__(self, receive: Receive, generations: list[Generation]) -> None:
        """The generations share one event."""
        self._receive, self._generations = receive, generations
        self._gone = False

    async def __aenter__(self) -> "Listening":
        self._watch = asyncio.ensure_future(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        for generation in self._generations:
            generation.end("cancelled")

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._generations[0].news.set()

    async def news(self) -> None:
        """Until something is new. Raises :class:`ClientGone`."""
        event = self._generations[0].news
        await event.wait()
        event.clear()
        if self._gone:
            raise ClientGone

    async def all(self) -> None:
        """Until all have ended. Raises :class:`ClientGone`."""
        while any(generation.reason is None for generation in self._generations):
            await self.news()


def problem(generation: Generation) -> RequestError:
    """Why it did not come to its end, in the interface's form."""
    if generation.reason == "deadline":
        return RequestError(
            "the request took too long", status=504, kind="timeout", code="deadline"
        )
    return RequestError(generation.error, status=500, kind="server_error", code="model_failed")


class Answer:
    """Sends what becomes of the generations of one request; returns the status that was sent."""

    def __init__(
        self, service: "Service", model: Model, asked: Completion, generations: list[Generation]
    ) -> None:
        self._service, self._model, self._asked = service, model, asked
        self._generations = generations
        identity, now = f"cmpl-{uuid.uuid4().hex}", int(time.time())
        self._made = partial(answers.completion, identity, now, model.name)
        table = model.tokenizer.piece_bytes
        self._echoes = [self._echo(g) for g in generations]
        self._told = [answers.Told(table, self._skipped(i)) for i in range(len(generations))]
        self._given = [0] * len(generations)  # characters sent

    def _echo(self, generation: Generation) -> str:
        if not self._asked.echo:
            return ""
        return self._model.tokenizer.decode([*generation.ids[1:], *generation.forced])

    def _skipped(self, i: int) -> int:
        """Characters of the echo that no likelihood is told of."""
        return 0 if self._generations[i].forced else len(self._echoes[i])

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> int:
        self._unsent = scope.get("tinytx.unsent", lambda: 1)
        try:
            if self._asked.stream:
                return await self._stream(receive, send)
            return await self._whole(receive, send)
        except ClientGone:
            if "tinytx.abort" in scope:  # nor is what it has not taken kept for it
                scope["tinytx.abort"]()
                await asyncio.sleep(0)  # now it counts as gone
            return 499

    async def _whole(self, receive: Receive, send: Send) -> int:
        async with Listening(receive, self._generations) as client:
            await client.all()
        for generation in self._generations:
            if generation.reason in ("failed", "deadline"):
                return await self._failed(generation, send)
        choices = [self._choice(i, last=True) for i in range(len(self._generations))]
        document = self._made(choices, self._usage())
        await self._send(send, 200, answers.dump(document), b"application/json")
        return 200

    async def _failed(self, generation: Generation, send: Send) -> int:
        found = problem(generation)
        body = answers.dump(answers.error(found))
        await self._send(send, found.status, body, b"application/json")
        return found.status

    def _choice(self, i: int, *, last: bool) -> Choice:
        """What has come since the last call, as one choice."""
        generation = self._generations[i]
        text = generation.take()
        if not self._given[i]:
            text = self._echoes[i] + text
        self._given[i] += len(text)
        told = None
        if self._asked.logprobs is not None:
            told = self._told[i].upto(generation.likelihoods, self._given[i])
        reason = generation.reason if last else None
        assert reason in (None, "length", "stop")
        return answers.choice(i, text, reason, told)

    def _usage(self) -> Usage:
        each = self._asked.n or 1
        prompts = [len(g.ids) + len(g.forced) - 1 for g in self._generations[::each]]
        return answers.usage(prompts, self._generations)

    async def _stream(self, receive: Receive, send: Send) -> int:
        async with Listening(receive, self._generations) as client:
            await self._start(send, 200, b"text/event-stream; charset=utf-8")
            unfinished = list(range(len(self._generations)))
            while unfinished:
                await client.news()
                events = self._events(unfinished)
                if not unfinished:
                    events += self._ending()
                if events:
                    await self._body(send, b"".join(events), more=bool(unfinished))
        return 200

    def _events(self, unfinished: list[int]) -> list[bytes]:
        """What is new, as events; who has ended is taken from ``unfinished``, and all are when
        one has failed."""
        events: list[bytes] = []
        for i in list(unfinished):
            generation = self._generations[i]
            reason = generation.reason
            if reason in ("failed", "deadline", "cancelled"):
                unfinished.clear()
                return [*events, answers.event(answers.error(problem(generation)))]
            chosen = self._choice(i, last=reason is not None)
            told = chosen["logprobs"]
            if chosen["text"] or reason or (told is not None and told["tokens"]):
                events.append(answers.event(self._made([chosen], self._so_far())))
            if reason:
                unfinished.remove(i)
        return events

    def _so_far(self) -> Usage | None:
        options = self._asked.stream_options
        wanted = options is not None and options.continuous_usage_stats
        return self._usage() if wanted else None

    def _ending(self) -> list[bytes]:
        options = self._asked.stream_options
        last = [answers.DONE]
        if options is not None and options.include_usage:
            last.insert(0, answers.event(self._made([], self._usage())))
        return last

    async def _send(self, send: Send, status: int, body: bytes, kind: bytes) -> None:
        await self._start(send, status, kind, len(body))
        await self._body(send, body, more=False)

    async def _start(self, send: Send, status: int, kind: bytes, size: int | None = None) -> None:
        headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
        if size is not None:
            headers.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, send: Send, body: bytes, *, more: bool) -> None:
        """Raises :class:`ClientGone` when the reader takes nothing for too long."""
        if not self._unsent():  # it takes all: nothing to wait for, and a timer costs 5 us
            await send({"type": "http.response.body", "body": body, "more_body": more})
            return
        try:
            async with asyncio.timeout(self._service.limits.write_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise ClientGone from None
