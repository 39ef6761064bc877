"""What a connection leaves behind when it has gone."""

import asyncio
import gc
import socket
import struct
import weakref
from typing import Any, ClassVar

import uvicorn

from tinytx.serve.protocol import Impatient

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: to close is to reset."""
CLIENTS = 40


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello" * 200})


class Remembered(Impatient):
    """Connections that something still holds."""

    held: ClassVar["weakref.WeakSet[Remembered]"] = weakref.WeakSet()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.held.add(self)


def alive() -> int:
    gc.collect()
    return len(Remembered.held)


async def ask_and_reset(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def test_a_connection_that_was_reset_is_forgotten_at_once() -> None:
    async def run() -> None:
        config = uvicorn.Config(
            hello, http=Remembered, lifespan="off", log_config=None, timeout_keep_alive=60
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as held:
            serving = asyncio.create_task(server.serve(sockets=[held]))
            while not server.started:
                await asyncio.sleep(0.01)
            for _ in range(CLIENTS):
                await ask_and_reset(held.getsockname()[1])
            for _ in range(100):
                if (left := alive()) == 0:
                    break
                await asyncio.sleep(0.1)
            server.should_exit = True
            await serving
        assert left == 0

    asyncio.run(run())
