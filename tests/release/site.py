"""A static web server as real ones are, good and bad: ETag, dates, ranges, and ways to fail."""

import email.utils
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Asked:
    """One request and what was sent."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0
    """Bytes of the body."""


@dataclass
class Site:
    """A folder on the network, and how its server misbehaves; a fault is for a part of a path."""

    root: Path
    address: str = ""
    asked: list[Asked] = field(default_factory=list)
    ranges: bool = True
    etags: bool = True
    weak: bool = False
    dates: bool = True
    lengths: bool = True
    cuts: list[tuple[str, int]] = field(default_factory=list)
    """Each once: so many bytes of a body, then the connection breaks."""
    statuses: list[tuple[str, int]] = field(default_factory=list)
    """Each once: an answer without a file."""
    retry_after: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    """Where a path leads."""
    longer: dict[str, int] = field(default_factory=dict)
    """Bytes by which an announced length is too large, or too small."""
    endless: str = ""
    """A path whose body does not end."""
    silent: str = ""
    """A path that is never answered."""
    dripping: str = ""
    """A path whose head comes a byte in a while, for ever."""
    wrong_part: str = ""
    """A path whose parts begin elsewhere than asked for."""
    replaced: dict[str, bytes] = field(default_factory=dict)
    """Other contents than the folder's."""
    ended: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def sent(self, part: str = "") -> int:
        return sum(one.sent for one in self.asked if part in one.path)

    def forget(self) -> None:
        self.asked.clear()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    site: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = Asked(self.path, dict(self.headers.items()))
        self.site.asked.append(asked)
        with suppress(OSError):
            self._answer(asked)
        self.close_connection = True

    def _answer(self, asked: Asked) -> None:
        site, path = self.site, self.path
        if site.silent and site.silent in path:
            site.ended.wait(20)
            return
        if site.dripping and site.dripping in path:
            self._drip()
            return
        for fault in site.statuses:
            if fault[0] in path:
                site.statuses.remove(fault)
                asked.status = fault[1]
                self.send_response(fault[1])
                if site.retry_after:
                    self.send_header("Retry-After", site.retry_after)
                self.end_headers()
                return
        for part, target in site.redirects.items():
            if part in path:
                asked.status = 302
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()
                return
        self._send(asked)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not self.site.ended.wait(0.02):
            self.wfile.write(b"x")

    def _send(self, asked: Asked) -> None:
        site, file = self.site, self.site.root / self.path.lstrip("/")
        content = next((c for part, c in site.replaced.items() if part in self.path), None)
        if content is None:
            if not file.is_file():
                asked.status = 404
                self.send_error(404)
                return
            content = file.read_bytes()
        stat = file.stat()
        tag = f'{"W/" if site.weak else ""}"{stat.st_mtime_ns:x}-{len(content):x}"'
        date = email.utils.formatdate(stat.st_mtime, usegmt=True)
        head = {"ETag": tag} if site.etags else {}
        head |= {"Last-Modified": date} if site.dates else {}
        if self._not_modified(head):
            self._head(asked, 304, head)
            return
        first = self._first(head, len(content))
        if first is None:
            self._body(asked, 200, head, content)
        else:
            first -= 1 if site.wrong_part and site.wrong_part in self.path else 0
            head["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._body(asked, 206, head, content[first:])

    def _not_modified(self, head: dict[str, str]) -> bool:
        if (tag := self.headers.get("If-None-Match")) is not None:
            return tag == head.get("ETag")
        since = self.headers.get("If-Modified-Since")
        return since is not None and since == head.get("Last-Modified")

    def _first(self, head: dict[str, str], size: int) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not self.site.ranges or match is None or int(match[1]) >= size:
            return None
        if condition is not None and (condition != head.get("ETag") or self.site.weak):
            return None
        return int(match[1])

    def _head(self, asked: Asked, status: int, head: dict[str, str]) -> None:
        asked.status = status
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, asked: Asked, status: int, head: dict[str, str], content: bytes) -> None:
        site = self.site
        more = next((n for part, n in site.longer.items() if part in self.path), 0)
        endless = bool(site.endless) and site.endless in self.path
        if site.lengths and not endless:
            head = {**head, "Content-Length": str(len(content) + more)}
        self._head(asked, status, head)
        for fault in site.cuts:
            if fault[0] in self.path:
                site.cuts.remove(fault)
                content = content[: fault[1]]
                break
        while endless and not site.ended.is_set():
            self.wfile.write(b" " * 65536)
            asked.sent += 65536
        self.wfile.write(content)
        asked.sent += len(content)


@contextmanager
def serving(root: Path, certificate: Path | None = None, host: str = "127.0.0.1") -> Iterator[Site]:
    """Serve a folder on this machine until the block ends; with a certificate, over TLS."""
    site = Site(root)
    handler = type("Bound", (Handler,), {"site": site})
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.address = f"http{'s' if certificate else ''}://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
