"""Starts the server, and ends it: the socket, signals, what systemd wants to hear, HTTP itself.

uvicorn speaks HTTP. Three things that it leaves open are settled here: a connection on which
nothing comes is closed, SIGTERM lets running answers end within a stated time, and the process
then ends with 0.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tinytx.bundle import TOKENIZER, Bundle, Precision
from tinytx.errors import BundleError, PrerequisiteError, TokenizerError
from tinytx.serve import startup
from tinytx.serve.app import Service, build, failed
from tinytx.serve.loop import Loop
from tinytx.serve.model import Model
from tinytx.serve.requests import RequestError
from tinytx.tokenizer import Tokenizer

log = logging.getLogger(__name__)
FIRST_INHERITED = 3
"""The first file descriptor that systemd hands over (sd_listen_fds(3))."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve."""

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8765
    slots: int = 32
    waiting: int = 64
    precision: Precision | None = None
    drain_seconds: float = 25.0
    silent_seconds: int = 20
    """A connection must bring a whole request head within so long: a new one from its start, a
    kept one from the end of the last answer."""


class Impatient(H11Protocol):
    """uvicorn's HTTP/1.1, but a connection that no request comes on, or no answer leaves by, is
    closed. uvicorn's own timer waits only between requests, and ends at the first byte."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._unsent = 0
        self._wait()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._silent.cancel()
            self.scope["tinytx.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]

    def on_response_complete(self) -> None:
        self._silent.cancel()
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, refused in the interface's form."""
        found = failed(RequestError(msg.rstrip(".").lower()))
        headers = [*found.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(found.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        seconds = self.config.timeout_keep_alive
        self._silent = self.loop.call_later(seconds, self._out_of_patience)

    def _out_of_patience(self) -> None:
        """Nothing came; but a long answer may still be on its way to a slow reader."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if self._unsent and (before == 0 or self._unsent < before):
            self._wait()
        else:
            self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would end with -15 after a clean stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def load_model(settings: Settings) -> tuple[Model, list[startup.Trial]]:
    """The bundle, verified, with the memory of all slots. Raises :class:`TinytxError`."""
    bundle = Bundle(settings.bundle)
    bundle.check_files()
    try:
        data = bundle.read_file(TOKENIZER)
        tokenizer = Tokenizer(data, str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    precision, batch, trials = startup.choose(bundle, settings.slots, settings.precision)
    return Model(bundle, precision, tokenizer, Loop(batch, settings.waiting)), trials


def listen(host: str, port: int) -> socket.socket:
    """The socket that systemd hands over, or a new one. Raises :class:`PrerequisiteError`."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        inherited = socket.socket(fileno=FIRST_INHERITED)
        inherited.setblocking(False)
        return inherited
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        made.close()
        raise PrerequisiteError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            "choose another --port, or --port 0 for any that is free",
        ) from error
    made.setblocking(False)
    return made


def serve(service: Service, model: Model, settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called with the address once it answers.

    Raises :class:`PrerequisiteError` when the address cannot be had."""
    sock = listen(settings.host, settings.port)
    try:
        asyncio.run(_serve(service, model, settings, sock, ready))
    finally:
        sock.close()


async def _serve(
    service: Service,
    model: Model,
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[str], None],
) -> None:
    work: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        work.add(asyncio.create_task(model.loop.run()))
        service.model = model
        yield

    server = _Server(
        uvicorn.Config(
            build(service, lifespan),
            http=Impatient,
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=settings.silent_seconds,
            timeout_graceful_shutdown=int(settings.drain_seconds),
        )
    )

    def stop() -> None:
        service.draining = True
        model.loop.drain()
        server.should_exit = True
        notify("STOPPING=1")

    events = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        events.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if not serving.done():
        host, port = sock.getsockname()[:2] if sock.family != socket.AF_UNIX else ("unix", 0)
        shown = f"[{host}]" if ":" in str(host) else host
        ready(f"http://{shown}:{port}")
        notify("READY=1")
        work.add(asyncio.create_task(_watchdog()))
    await serving
    for task in work:
        task.cancel()


async def _watchdog() -> None:
    """Tell systemd that we live, twice as often as it wants to hear (sd_watchdog_enabled(3))."""
    every = int(os.environ.get("WATCHDOG_USEC") or 0) / 2e6
    while every:
        await asyncio.sleep(every)
        notify("WATCHDOG=1")


def notify(message: str) -> None:
    """A word to systemd, where it listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
        sock.sendall(message.encode())
