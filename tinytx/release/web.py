"""One question to a static web server, or to a folder, and how long it may take.

Standard library alone; proxies are those of the environment. A server may be slow, lie or never
end: nothing waits longer than it was told, in silence or in whole, and a redirect leads only to
the same scheme or to https. No password is part of an address here, so none gets into a message.
"""

import email.message
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from tinytx.errors import BundleError, DeviceError
from tinytx.files import open_regular
from tinytx.wording import printable

SILENT_SECONDS = 30.0
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
REMEDY = "if the address is right, try again later; what came is kept"


class Body(Protocol):
    """Where an answer's bytes come from."""

    def read(self, amount: int, /) -> bytes: ...


@dataclass(frozen=True)
class Answer:
    """An answer whose head is here and whose body may be read."""

    status: int
    headers: email.message.Message
    body: Body

    @property
    def length(self) -> int | None:
        """Bytes of the body, as announced."""
        given = self.headers.get("Content-Length", "").strip()
        return int(given) if re.fullmatch(r"\d{1,18}", given) else None


class Unfinished(DeviceError):
    """Trouble that may pass; ``wait`` is the pause in seconds that the server asks for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message, REMEDY)
        self.wait = wait


@dataclass
class Web:
    """Asks, and counts what that took."""

    silent: float = SILENT_SECONDS
    requests: int = 0
    """Questions that were sent, redirects aside."""
    received: int = 0
    """Bytes of the bodies that were read."""
    _opened: list[socket.socket] = field(default_factory=list)

    @contextmanager
    def ask(self, url: str, headers: dict[str, str], seconds: float) -> Iterator[Answer]:
        """An answer of status 200, 206 or 304, for at most ``seconds`` in whole.

        Raises :class:`Unfinished` for trouble that may pass, else :class:`DeviceError`.
        """
        self.requests += 1
        if url.startswith("file:"):
            with _file(url, headers) as answer:
                yield Answer(answer.status, answer.headers, _Counted(answer.body, self))
            return
        late = threading.Event()
        timer = threading.Timer(max(seconds, 0.0), self._cut, [late])
        timer.daemon = True
        timer.start()
        told = f"{url} took longer than {seconds:g} s"
        try:
            with self._open(url, headers) as response:
                if late.is_set():  # a head that was cut is taken for a whole one
                    raise Unfinished(told)
                status = response.status or 0
                yield Answer(status, response.headers, _Counted(response, self))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise (Unfinished(told) if late.is_set() else trouble(error, url)) from error
        finally:
            timer.cancel()
            for each in self._opened:
                each.close()
            self._opened.clear()

    def _open(self, url: str, headers: dict[str, str]) -> Any:
        handlers = (_http(self._opened), _https(self._opened), Redirects)
        request = urllib.request.Request(url, headers={"User-Agent": "tinytx", **headers})
        try:
            return urllib.request.build_opener(*handlers).open(request, timeout=self.silent)
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return error
            raise

    def _cut(self, late: threading.Event) -> None:
        """End every connection of the question, whatever it is waiting for."""
        late.set()
        for each in [*self._opened]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class _Counted:
    body: Body
    web: Web

    def read(self, amount: int, /) -> bytes:
        data = self.body.read(amount)
        self.web.received += len(data)
        return data


def bounded(answer: Answer, url: str, limit: int) -> bytes:
    """A whole body of at most ``limit`` bytes.

    Raises :class:`BundleError` for a longer one, :class:`Unfinished` for one that breaks off.
    """
    announced, raw = answer.length, b""
    if announced is None or announced <= limit:
        while len(raw) <= limit and (piece := answer.body.read(limit + 1 - len(raw))):
            raw += piece
    if max(len(raw), announced or 0) > limit:
        raise BundleError(f"{url} is larger than it may be ({limit:,} bytes)")
    if announced is not None and len(raw) != announced:
        raise Unfinished(f"{url} broke off after {len(raw):,} of {announced:,} bytes")
    return raw


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows five times, to the same scheme or to https."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        parts = urllib.parse.urlsplit(newurl)
        if parts.scheme.lower() not in ("https", req.type) or "@" in parts.netloc:
            raise DeviceError(
                f"{req.full_url} leads on to an address of {printable(parts.scheme[:20])}:, which "
                "is not followed",
                "give an address that leads to the same scheme, or to https",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _noting(opened: list[socket.socket]) -> Any:
    """Makes connections, and keeps a second handle of each: TLS takes the first one over."""

    def connect(*arguments: Any, **options: Any) -> socket.socket:
        made = socket.create_connection(*arguments, **options)
        opened.append(made.dup())
        return made

    return connect


def _http(opened: list[socket.socket]) -> urllib.request.HTTPHandler:
    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self._create_connection = _noting(opened)
            super().connect()

    class Handler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Connection, req)

    return Handler()


def _https(opened: list[socket.socket]) -> urllib.request.HTTPSHandler:
    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:
            self._create_connection = _noting(opened)
            super().connect()

    class Handler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Connection, req, context=ssl.create_default_context())

    return Handler()


def trouble(error: Exception, url: str) -> DeviceError:
    """What an error of ``urllib`` means: :class:`Unfinished` where it may pass."""
    if isinstance(error, urllib.error.HTTPError):
        reason = f"{url} answered {error.code} {printable(str(error.reason)[:100])}"
        if error.code in TRANSIENT:
            wait = error.headers.get("Retry-After", "")
            return Unfinished(reason, float(wait) if re.fullmatch(r"\d{1,6}", wait) else 0.0)
        return DeviceError(reason, "see whether the address is right and the folder is published")
    cause: Any = getattr(error, "reason", None) or error
    told = f"cannot read {url}: {_without_secrets(str(cause) or type(cause).__name__)}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return DeviceError(told, _about_certificates())
    if isinstance(error, ValueError):  # a wrong address or proxy
        return DeviceError(told, "see the address and the proxy that the environment names")
    return Unfinished(told)


def _about_certificates() -> str:
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and any(Path(paths.capath).iterdir())):
        return (
            "no authority is known here: install ca-certificates, or name a file in SSL_CERT_FILE"
        )
    clock = time.strftime("%Y-%m-%d", time.gmtime())
    return f"this machine's clock says {clock}; if that is right, see who answers for that server"


def _without_secrets(text: str) -> str:
    """The environment's proxy may have a password."""
    return printable(re.sub(r"//[^/@\s]*@", "//...@", text)[:200])


@contextmanager
def _file(url: str, headers: dict[str, str]) -> Iterator[Answer]:
    """A file of this machine, with the answers that a server would give."""
    path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    try:
        with open_regular(path, 1 << 40) as file:
            yield _as_answer(file, headers)
    except (OSError, BundleError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DeviceError(f"cannot read {url}: {why}", REMEDY) from error


def _as_answer(file: BinaryIO, asked: dict[str, str]) -> Answer:
    import os

    facts = os.fstat(file.fileno())
    tag = f'"{facts.st_mtime_ns:x}-{facts.st_ino:x}-{facts.st_size:x}"'
    headers = email.message.Message()
    headers["ETag"] = tag
    if asked.get("If-None-Match") == tag:
        return Answer(304, headers, file)
    start = re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))
    if start is None or asked.get("If-Range", tag) != tag:
        headers["Content-Length"] = str(facts.st_size)
        return Answer(200, headers, file)
    first = min(int(start[1]), facts.st_size)
    file.seek(first)
    headers["Content-Length"] = str(facts.st_size - first)
    headers["Content-Range"] = f"bytes {first}-{facts.st_size - 1}/{facts.st_size}"
    return Answer(206, headers, file)
