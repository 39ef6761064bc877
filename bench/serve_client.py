"""A running `tinytx serve`, and the clients that ask it: closed loops, overload, the vanished."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKENS = 128
PROMPTS = ("The old house", "A river", "Once upon a time there was", "It is", "She said that")


@dataclass
class Server:
    """A running `tinytx serve`."""

    process: "subprocess.Popen[str]"
    address: str
    start_seconds: float

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 80

    def rss(self) -> float:
        """Resident bytes now (smaps_rollup)."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return 1024.0 * int(text.split("Rss:")[1].split()[0])


@contextmanager
def serving(bundle: Path, core: int, *flags: str) -> Iterator[Server]:
    """The server on a core of its own."""
    command = [sys.executable, "-m", "tinytx.cli.main", "serve", str(bundle), "--port", "0"]
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command, "--json", "--quiet", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the server did not start: run `tinytx serve` by hand")
            text += line
        server = Server(process, json.loads(text)["address"], 0.0)
        asyncio.run(ask(server.port, 1))
        server.start_seconds = time.perf_counter() - began
        yield server
    finally:
        process.terminate()
        process.wait()


def request(tokens: int, *, stream: bool = False, number: int = 0) -> bytes:
    asked = {"prompt": PROMPTS[number % len(PROMPTS)], "max_tokens": tokens, "stream": stream}
    body = json.dumps({**asked, "temperature": 0}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    else:
        await reader.readuntil(b"0\r\n\r\n")
    return int(head.split()[1])


async def ask(port: int, tokens: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(tokens))
    status = await answer(reader)
    writer.close()
    return status


async def throughput(
    port: int, streams: int, seconds: float, *, stream: bool, reopen: bool = False
) -> float:
    """Tokens a second of so many closed loops, after a second of warming up. ``reopen``: a
    connection that the server closes is opened anew; else it ends the benchmark."""
    made = [0]

    async def client(number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(request(TOKENS, stream=stream, number=number))
            try:
                status = await answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                if not reopen:
                    raise
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            if status == 200:
                made[0] += TOKENS
        writer.close()

    for phase in (1.0, seconds):
        made[0], began = 0, time.monotonic()
        await asyncio.gather(*(client(number, began + phase) for number in range(streams)))
        took = time.monotonic() - began
    return made[0] / took


@dataclass
class Overload:
    """What ten times the capacity got for an answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=list)
    """Seconds between the pieces of admitted streams."""
    memory: list[float] = field(default_factory=list)
    """Resident bytes, once a second."""


async def overload(server: Server, seconds: float, clients: int) -> Overload:
    """Streams from so many clients at once, who come again at once."""
    seen = Overload()
    end = time.monotonic() + seconds

    async def watch() -> None:
        while time.monotonic() < end:
            seen.memory.append(server.rss())
            await asyncio.sleep(1.0)

    async def client(number: int) -> None:
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(TOKENS, stream=True, number=number))
            status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
            seen.statuses[status] += 1
            last = time.monotonic()
            while status == 200 and (line := await reader.readline()) != b"0\r\n":
                if line.startswith(b"data:"):
                    now = time.monotonic()
                    seen.gaps.append(now - last)
                    last = now
            writer.close()
            if status != 200:
                await asyncio.sleep(0.2)

    await asyncio.gather(watch(), *(client(number) for number in range(clients)))
    return seen


async def vanish(port: int, clients: int) -> None:
    """Clients that close their connection at a random instant."""
    chance = random.Random(1)

    async def client(number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(TOKENS, stream=bool(number % 2), number=number))
        await asyncio.sleep(chance.random() * 0.05)
        writer.transport.abort()

    for start in range(0, clients, 25):
        await asyncio.gather(*(client(n) for n in range(start, min(start + 25, clients))))


async def health(port: int) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    found: dict[str, Any] = json.loads(body)
    return found
