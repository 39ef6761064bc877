"""The client of an open loop: sends what is due, and notes when each piece of an answer came.

HTTP/1.1 by the standard library: one connection a request, nothing parsed of a piece but what tells
pieces, errors and the end apart. Where this client is what was slow its figures say so.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tinytx.errors import DeviceError, UsageError
from tinytx.measure.load.schedule import Arrival

clock = time.perf_counter_ns
READ = 65_536
HEAD_LIMIT = 1 << 16
PATIENCE = 60.0
"""Seconds that a request may take before it counts as not answered."""


@dataclass(frozen=True)
class Target:
    """A server."""

    host: str
    port: int
    token: str = ""

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass
class Exchange:
    """One request and its answer; times in nanoseconds."""

    late: int = 0
    """How much later than due it was sent: the client's fault."""
    status: int = 0
    """0: no answer."""
    first: int | None = None
    """From the moment that it was due to the first piece of text."""
    pieces: list[int] = field(default_factory=list)
    """Between one piece of text and the next."""
    end: int = 0
    """When the answer was over, from the start of the load."""
    tokens: int = 0
    error: str = ""
    """Why it is not an answer; empty for one that is."""


@dataclass
class Load:
    """All exchanges of one schedule."""

    exchanges: list[Exchange]
    seconds: float
    """From the start until the last answer was over."""
    client_share: float
    """Of one core: how much of the time the client itself was at work."""


def target_of(address: str, token: str = "") -> Target:
    """The server at ``http://HOST:PORT`` or ``HOST:PORT``. Raises :class:`UsageError`."""
    full = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(full)
        port = parts.port or 80
    except ValueError as error:
        raise UsageError(f"--serve: {address} is no address ({error})") from error
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/", "/v1", "/v1/"):
        raise UsageError(
            f"--serve: {address} is not the address of a server",
            "give http://HOST:PORT (without TLS: measure the server, not what stands before it)",
        )
    return Target(parts.hostname, port, token)


def request(target: Target, method: str, path: str, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"host: {str(target).removeprefix('http://')}"]
    head += ["connection: close", f"content-length: {len(body)}", "content-type: application/json"]
    head += [f"authorization: Bearer {target.token}"] if target.token else []
    return "\r\n".join([*head, "", ""]).encode() + body


def completion(target: Target, arrival: Arrival, tokens: int) -> bytes:
    """A streamed completion, its tokens drawn as in the bench of a bundle."""
    body = {"prompt": arrival.prompt, "max_tokens": tokens, "seed": arrival.seed}
    body |= {"temperature": 0.8, "top_p": 0.95, "stream": True}
    body["stream_options"] = {"include_usage": True}
    return request(target, "POST", "/v1/completions", json.dumps(body).encode())


async def fetch(target: Target, method: str, path: str) -> tuple[int, bytes]:
    """One short question. Raises :class:`DeviceError` when nobody answers."""
    try:
        async with asyncio.timeout(10.0):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            try:
                writer.write(request(target, method, path))
                status, headers = await _head(reader)
                return status, b"".join([part async for part in _parts(reader, headers)])
            finally:
                writer.close()
    except TimeoutError as error:
        raise DeviceError(f"{target} does not answer within 10 s") from error
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
        raise DeviceError(
            f"no server answers at {target}: {_why(error)}", "start one: tinytx serve BUNDLE"
        ) from error


async def run(target: Target, arrivals: Sequence[Arrival], tokens: int) -> Load:
    """Send every request at its time, whatever became of those before it."""
    bodies = [completion(target, arrival, tokens) for arrival in arrivals]
    exchanges = [Exchange() for _ in arrivals]
    start, worked = clock() + 20_000_000, time.process_time()
    running = set()
    for arrival, body, one in zip(arrivals, bodies, exchanges, strict=True):
        due = start + int(arrival.due * 1e9)
        if (wait := due - clock()) > 0:
            await asyncio.sleep(wait / 1e9)
        task = asyncio.create_task(_exchange(target, body, one, start, due))
        running.add(task)
        task.add_done_callback(running.discard)
    while running:
        await asyncio.wait(running)
    seconds = (clock() - start) / 1e9
    return Load(exchanges, seconds, (time.process_time() - worked) / seconds)


async def _exchange(target: Target, body: bytes, one: Exchange, start: int, due: int) -> None:
    one.late = max(clock() - due, 0)
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, limit=HEAD_LIMIT
            )
            writer.write(body)
            one.status, headers = await _head(reader)
            if one.status == 200:
                await _stream(reader, headers, one, due)
            else:
                text = b"".join([part async for part in _parts(reader, headers)])
                one.error = _refusal(one.status, text)
    except TimeoutError:
        one.error = f"not answered within {PATIENCE:.0f} s"
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
        one.error = f"the connection failed: {_why(error)}"
    finally:
        one.end = clock() - start
        if writer is not None:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers. Raises ``ValueError`` for what is not HTTP."""
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise ValueError("not HTTP")
    headers = (line.partition(":") for line in lines if line)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in headers}


async def _parts(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """The body as it comes: chunked, of a stated length, or until the connection ends."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        return
    left = int(headers.get("content-length", -1))
    while left and (part := await reader.read(READ if left < 0 else min(READ, left))):
        left -= len(part) if left > 0 else 0
        yield part
    if left > 0:
        raise EOFError("cut short")


async def _stream(
    reader: asyncio.StreamReader, headers: dict[str, str], one: Exchange, due: int
) -> None:
    """Server-sent events: their times, the tokens that the last one counts, and how it ended."""
    waiting, ended, last, usage = b"", False, 0, b""
    async for part in _parts(reader, headers):
        now, came = clock(), False
        *events, waiting = (waiting + part).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                ended = True
            elif b'"choices":[{' in data.replace(b": ", b":"):
                came = True
            else:
                usage = data
        if came:
            if one.first is None:
                one.first = now - due
            else:
                one.pieces.append(now - last)
            last = now
    one.tokens, one.error = _counted(usage)
    if not ended and not one.error:
        one.error = "the stream ended before [DONE]"


def _counted(data: bytes) -> tuple[int, str]:
    """Tokens of the event without text, or the error that it tells."""
    try:
        document = json.loads(data)
        if "error" in document:
            return 0, f"an error in mid-stream: {str(document['error'].get('message'))[:200]}"
        return int(document["usage"]["completion_tokens"]), ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0, "the stream did not count its tokens"


def _why(error: Exception) -> str:
    """asyncio's own words name the address once more."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, EOFError):
        return "it ended too early"
    return "what answers does not speak HTTP" if isinstance(error, ValueError) else str(error)


def _refusal(status: int, text: bytes) -> str:
    """A status in words, without what differs from one time to the next."""
    try:
        message = str(json.loads(text)["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError):
        message = "no message"
    return f"{status}: {message}"
