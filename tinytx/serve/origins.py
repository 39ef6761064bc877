"""Cross-origin requests: which other sites' pages may ask this server, none unless one is named.

An origin is compared exactly as a browser writes it (RFC 6454, section 6.2); what a browser is told
is that of the Fetch standard. No cookies, no credentials: there are none here.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from tinytx.errors import UsageError

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
PORTS = {"http": 80, "https": 443}
LISTED = re.compile(rb"[A-Za-z0-9-]+(, *[A-Za-z0-9-]+)*")
"""Names of headers, as a browser lists those that it wants to send."""
MOST_LISTED = 2_000


def checked(origins: Iterable[str]) -> frozenset[str]:
    """Raises :class:`UsageError` for what no browser would call an origin."""
    return frozenset(_checked(origin) for origin in origins)


def _checked(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in PORTS or not re.fullmatch(r"[a-z0-9_.-]+|[0-9a-f:.]+", host):
        raise UsageError(
            f"--cors-origin: {origin!r} is no origin",
            "write it as a browser does, such as https://app.example or http://localhost:3000",
        )
    shown = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{shown}"
    if port is not None and port != PORTS[parts.scheme]:
        shown += f":{port}"
    if shown != origin:
        raise UsageError(
            f"--cors-origin: {origin!r} is not how a browser writes an origin", f"write {shown}"
        )
    return origin


class Origins:
    """An ASGI application whose answers pages of these origins may read."""

    def __init__(self, application: Any, allowed: frozenset[str]) -> None:
        self._application = application
        self._allowed = {origin.encode() for origin in allowed}

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        told = [(b"vary", b"Origin")]
        if origin in self._allowed:
            told.append((b"access-control-allow-origin", origin))
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _preflight(headers, told, send)
                return
            told.append((b"access-control-expose-headers", b"Retry-After"))

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        await self._application(scope, receive, tell)


async def _preflight(
    headers: dict[bytes, bytes], told: list[tuple[bytes, bytes]], send: Send
) -> None:
    """May a page send such a request? It may, with whatever headers: they mean nothing here."""
    told = [*told, (b"access-control-allow-methods", b"GET, POST")]
    told.append((b"access-control-max-age", b"600"))
    listed = headers.get(b"access-control-request-headers", b"")
    if len(listed) <= MOST_LISTED and LISTED.fullmatch(listed):
        told.append((b"access-control-allow-headers", listed))
    if headers.get(b"access-control-request-private-network") == b"true":
        told.append((b"access-control-allow-private-network", b"true"))
    await send({"type": "http.response.start", "status": 204, "headers": told})
    await send({"type": "http.response.body", "body": b""})
