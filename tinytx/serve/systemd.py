"""What a service tells systemd, and what systemd hands to it; nothing where it is not there."""

import asyncio
import contextlib
import os
import socket

from tinytx.errors import PrerequisiteError

FIRST_INHERITED = 3
"""The first file descriptor that systemd hands over (sd_listen_fds(3))."""


def listen(host: str, port: int) -> socket.socket:
    """The socket that systemd hands over, or a new one. Raises :class:`PrerequisiteError`."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return _ready(socket.socket(fileno=FIRST_INHERITED))
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
    return _ready(made)


def _ready(listening: socket.socket) -> socket.socket:
    """Accepted sockets inherit these. asyncio sets TCP_NODELAY only where a socket was made with
    the number of TCP, which neither systemd's nor Python's usual ones are; without it each answer
    waits 40 ms for the client's delayed acknowledgement."""
    listening.setblocking(False)
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def watchdog() -> None:
    """Tell systemd that we live, twice as often as it wants to hear (sd_watchdog_enabled(3))."""
    told = os.environ.get("WATCHDOG_USEC", "")
    every = int(told) / 2e6 if told.isdecimal() else 0.0
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
