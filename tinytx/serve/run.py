"""Starts the server, and ends it: the socket, signals, what systemd wants to hear, HTTP itself.

uvicorn speaks HTTP. Three things that it leaves open are settled here: a connection on which
nothing comes is closed, SIGTERM lets running answers end within a stated time, and the process
then ends with 0.
"""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from tinytx.serve.app import build
from tinytx.serve.protocol import Impatient
from tinytx.serve.releases import Releases, Settings
from tinytx.serve.service import Service
from tinytx.serve.systemd import listen, notify, watchdog

DESCRIPTORS = 4_096
"""Wanted: those of all connections, and of as many again that are accepted and turned away."""


def _protocol() -> type[Impatient]:
    """As many connections as fit beside the files that are open besides."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= allowed < DESCRIPTORS:
        allowed = DESCRIPTORS if most < 0 else min(most, DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    bound = Impatient.most if allowed < 0 else min(Impatient.most, max(allowed // 2, 8))
    return type("Bounded", (Impatient,), {"most": bound})


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would end with -15 after a clean stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    service: Service, releases: Releases, settings: Settings, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT, at first what ``releases`` has loaded. ``ready`` is called
    with the address once it answers.

    Raises :class:`PrerequisiteError` when the address cannot be had."""
    sock = listen(settings.host, settings.port)
    try:
        asyncio.run(_serve(service, releases, settings, sock, ready))
    finally:
        sock.close()


async def _serve(
    service: Service,
    releases: Releases,
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[str], None],
) -> None:
    releases.start()
    server = _Server(
        uvicorn.Config(
            build(service),
            http=_protocol(),
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

    events = asyncio.get_running_loop()

    def stop() -> None:
        # At once: who connects from now on waits at systemd's socket for the next process.
        # uvicorn itself looks ten times a second, and whom it takes until then gets a 503.
        events.remove_reader(sock)
        releases.drain()
        server.should_exit = True
        notify("STOPPING=1")

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
    alive = asyncio.create_task(watchdog())
    await serving
    alive.cancel()
    releases.end()
