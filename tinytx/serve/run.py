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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from tinytx.bundle import TOKENIZER, Bundle, Precision
from tinytx.errors import BundleError, PrerequisiteError, TinytxError, TokenizerError
from tinytx.runtime import footprint, golden
from tinytx.serve import startup
from tinytx.serve.app import Service, build
from tinytx.serve.loop import Loop
from tinytx.serve.model import Model
from tinytx.serve.protocol import Impatient
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


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would end with -15 after a clean stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def load_model(settings: Settings, *, prove: bool = False) -> tuple[Model, list[startup.Trial]]:
    """The bundle, its files checked, with the memory of all slots; to ``prove`` is to reproduce
    its golden outputs as well. Raises :class:`TinytxError`."""
    bundle = Bundle(settings.bundle.resolve())
    bundle.check_files()
    if prove:
        golden.verify(bundle.folder, precision=settings.precision)
    try:
        data = bundle.read_file(TOKENIZER)
        tokenizer = Tokenizer(data, str(bundle.folder / TOKENIZER))
    except TokenizerError as error:
        raise BundleError(error.message) from error
    footprint.give_back()  # what only importing needed: the peak is then here
    precision, batch, trials = startup.choose(bundle, settings.slots, settings.precision)
    footprint.give_back()
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


class Releases:
    """The model that answers, and how the next one takes its place between two requests."""

    def __init__(self, service: Service, load: Callable[[], Model]) -> None:
        """``load`` makes the next model; it is called in a thread, beside the running one."""
        self._service, self._load = service, load
        self._work: set[asyncio.Task[None]] = set()
        self._loading = False

    def begin(self, model: Model) -> None:
        """Let ``model`` answer from now on; texts under way end on the one they began with."""
        before, self._service.model = self._service.model, model
        self._keep(model.loop.run())
        if before is not None:
            before.loop.drain()

    def reload(self) -> None:
        """Load anew what is at the bundle's place; whatever is wrong with it, the old one stays."""
        if not self._loading:
            self._loading = True
            self._keep(self._take_next())

    async def _take_next(self) -> None:
        try:
            model = await asyncio.to_thread(self._load)
        except TinytxError as error:
            self._service.problem = f"a release was refused: {type(error).__name__}; see the log"
            log.error("the new release is not served: %s", error.message)
        else:
            self._service.problem = ""
            self.begin(model)
            log.info("serving %s, %s", model.name, model.precision)
        finally:
            self._loading = False

    def drain(self) -> None:
        """Take no more requests; what is under way ends."""
        self._service.draining = True
        if self._service.model is not None:
            self._service.model.loop.drain()

    def end(self) -> None:
        for task in self._work:
            task.cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


async def _serve(
    service: Service,
    model: Model,
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[str], None],
) -> None:
    releases = Releases(service, lambda: load_model(settings, prove=True)[0])
    releases.begin(model)
    server = _Server(
        uvicorn.Config(
            build(service),
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
        releases.drain()
        server.should_exit = True
        notify("STOPPING=1")

    events = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        events.add_signal_handler(number, stop)
    events.add_signal_handler(signal.SIGHUP, releases.reload)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if not serving.done():
        host, port = sock.getsockname()[:2] if sock.family != socket.AF_UNIX else ("unix", 0)
        shown = f"[{host}]" if ":" in str(host) else host
        ready(f"http://{shown}:{port}")
        notify("READY=1")
    watchdog = asyncio.create_task(_watchdog())
    await serving
    watchdog.cancel()
    releases.end()


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
