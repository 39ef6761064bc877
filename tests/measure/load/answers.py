"""A server that says what a test wants, in this process."""

import asyncio
from collections.abc import Awaitable, Callable

from tinytx.measure.load.client import Load, Target, run
from tinytx.measure.load.schedule import Arrival

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def text(piece: str) -> bytes:
    return b'data: {"choices":[{"text":"%s"}]}\n\n' % piece.encode()


def usage(tokens: int) -> bytes:
    return b'data: {"choices":[],"usage":{"completion_tokens":%d}}\n\n' % tokens


def saying(*parts: bytes, between: float = 0.0) -> Answer:
    """Answers with these bytes, one write each."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(between)

    return answer


def loaded(answer: Answer, dues: tuple[float, ...] = (0.0,)) -> Load:
    """Sends requests at these seconds to a server that answers like this; what came of it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(writer)
        writer.close()

    async def both() -> Load:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        arrivals = [Arrival(due, "A", number) for number, due in enumerate(dues)]
        try:
            return await run(Target(host, port), arrivals, 4)
        finally:
            server.close()

    return asyncio.run(both())
