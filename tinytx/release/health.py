"""Asking the service on this machine how it is: plain HTTP over a socket, because a watch that
waits has to stay small, and with one deadline for a whole answer, however slowly it drips.

No proxy of the environment is asked, and no address of another machine (see the policy).
"""

import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 5.0
"""For an answer about health."""
COMPLETION_SECONDS = 30.0
"""For a small completion, which waits its turn on a busy service."""
_LARGEST = 1 << 20
BUSY = 429
PROMPT = "Once upon a time"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    """HTTP's; 0 for no answer."""
    document: dict[str, Any]
    trouble: str
    """Why there is no answer, or none that can be read; empty for none."""


def ask(address: str, path: str, *, body: Any = None, token: str = "", seconds: float) -> Answer:
    """A GET, or a POST of ``body`` as JSON. Never raises for what a service can do."""
    try:
        code, raw = _exchange(address, path, body, token, seconds)
        document = json.loads(raw) if raw else {}
    except TimeoutError:
        return Answer(0, {}, f"no answer within {seconds:g} s")
    except OSError as error:
        return Answer(0, {}, f"no answer: {error.strerror or error}")
    except (ValueError, IndexError, RecursionError):
        return Answer(0, {}, "an answer that is none")
    if not isinstance(document, dict):
        return Answer(code, {}, "an answer that is none")
    return Answer(code, document, "")


def _exchange(address: str, path: str, body: Any, token: str, seconds: float) -> tuple[int, bytes]:
    end = time.monotonic() + seconds
    place = urlsplit(address)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    with socket.create_connection((host, port), timeout=seconds) as connection:
        connection.settimeout(_left(end))
        connection.sendall(_request(host, port, path, body, token))
        received = bytearray()
        while len(received) <= _LARGEST:
            connection.settimeout(_left(end))
            piece = connection.recv(1 << 16)
            if not piece:
                break
            received += piece
    head, _, raw = bytes(received).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), raw


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(host: str, port: int, path: str, body: Any, token: str) -> bytes:
    """HTTP 1.0: the answer ends where the connection does, and never comes in chunks."""
    data = b"" if body is None else json.dumps(body).encode()
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.0",
        f"Host: {name}:{port}",
        "Connection: close",
    ]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + data
