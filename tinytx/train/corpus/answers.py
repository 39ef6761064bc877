"""One HTTP answer and what it must be before a byte of it is believed (RFC 9110).

A part (206) must begin where the file here ends and be a part of the same file: same length, same
validator. Anything else is received anew; a web page in the place of a text is refused.
"""

import email.message
import http.client
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol

from tinytx.errors import CorpusError

TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
SCHEMES = ("http", "https")
PAGES = ("text/html", "application/xhtml+xml")
REMEDY = "download it by other means, then give it with --corpus-path"
PORTAL = (
    "if this network asks for a login, log in and try again; else give the address of the text "
    f"itself, or {REMEDY}"
)


class Answer(Protocol):
    """The part of an HTTP answer that is read here."""

    status: int | None
    headers: email.message.Message

    def read(self, amount: int, /) -> bytes: ...


class Unfinished(Exception):
    """Trouble that may pass: why, and how long the server asks to wait."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Changed(Unfinished):
    """What is here is no part of what the server has: it is to be received anew."""


@dataclass(frozen=True)
class Facts:
    """What the first answer said of a file."""

    validator: str | None
    """What ``If-Range`` can compare: a strong ETag, else the date of the last change."""
    size: int | None
    """Bytes of the whole."""


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https alone, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in SCHEMES or (req.type == "https" and scheme != "https"):
            raise CorpusError(
                f"{req.full_url} leads on to {newurl}, which is not followed: "
                f"{'it is not encrypted' if scheme == 'http' else 'only http and https are'}",
                "if you trust that address, give it yourself",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def refuse_page(answer: Answer, url: str) -> None:
    """Raise :class:`CorpusError` where a server says that it sends a web page."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in PAGES:
        raise CorpusError(f"{url} answered with a web page ({kind}), not with a text", PORTAL)


def first_facts(headers: email.message.Message) -> Facts:
    """What a whole answer (200) says of the file."""
    etag = headers.get("ETag")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    length = headers.get("Content-Length")
    return Facts(validator, int(length) if length and length.isdigit() else None)


def part_size(answer: Answer, url: str, asked: int, known: Facts) -> int:
    """The size of the whole file that a part belongs to.

    Raises :class:`Changed` unless it begins at the byte that was asked for (0 where none was) and
    is of the file that ``known`` describes.
    """
    given = answer.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
    if match is None or not asked or int(match[1]) != asked:
        raise Changed(f"{url} sent another part than was asked for")
    now = first_facts(answer.headers)
    total = None if match[3] == "*" else int(match[3])
    size = known.size if total is None else total
    if size is None:
        raise Changed(f"{url} does not say how long the file is that it sends a part of")
    if known.size not in (None, size):
        raise Changed(f"{url} sent a part of a file of {size:,} bytes; it had {known.size:,}")
    same_kind = now.validator and known.validator and _kind(now) == _kind(known)
    if same_kind and now.validator != known.validator:
        raise Changed(f"{url} sent a part of a file that has changed")
    return size


def _kind(facts: Facts) -> bool:
    """Whether the validator is an ETag."""
    return bool(facts.validator) and str(facts.validator).startswith('"')


def trouble(error: Exception, url: str) -> Exception:
    """What an error of ``urllib`` means: :class:`Unfinished` where it may pass, else the end."""
    if isinstance(error, urllib.error.HTTPError):
        reason = f"{url} answered {error.code} {error.reason}"
        if error.code == 416:  # the file is no longer as long as what is here
            return Changed(reason)
        if error.code in TRANSIENT:
            return Unfinished(reason, _seconds(error.headers.get("Retry-After")))
        return CorpusError(reason, REMEDY)
    cause: Any = getattr(error, "reason", None) or error
    if _passes(error, cause):
        return Unfinished(str(cause))
    return CorpusError(f"cannot download {url}: {cause}", REMEDY)


def _passes(error: Exception, cause: object) -> bool:
    """Whether a second try could go otherwise: not with a wrong address, name or certificate."""
    if isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, http.client.InvalidURL):
        return False
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    if isinstance(error, urllib.error.URLError):
        refused = re.search(r"Tunnel connection failed: 4\d\d", str(cause))
        return isinstance(cause, OSError) and not refused
    return isinstance(error, OSError | http.client.HTTPException)


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is not worth the code."""
    return float(value) if value and value.isdigit() else None


def facts_from(document: Mapping[str, Any]) -> Facts:
    """Facts that were written down. Raises ``KeyError`` or ``TypeError`` for anything else."""
    validator, size = document["validator"], document["size"]
    if not isinstance(validator, str | None) or not isinstance(size, int | None):
        raise TypeError("not facts of a download")
    return Facts(validator, size)
