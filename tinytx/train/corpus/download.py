"""A file from the network: in parts, after interruptions, with its checksum, or not at all.

What has arrived lies in a ``.part`` file beside its facts (``.json``: the address, the validator
that the server gave). A later try asks for the rest (RFC 9110, range requests) under the condition
that the file is still the same one (``If-Range``); a server that does not know ranges sends it
whole again. Trouble that may pass is tried again after growing pauses.
"""

import email.message
import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus import text
from tinytx.train.progress import Reporter
from tinytx.workspace import atomic_write

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (0.5, 2.0, 8.0)
"""Before each further try; one that got more of the file starts them anew."""
LONGEST_WAIT_SECONDS = 60.0
"""The longest pause that a server may ask for (Retry-After)."""
TRIES_AT_MOST = 20
BLOCK = 1 << 16
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
REMEDY = "download it by other means, then give it with --corpus-path"


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


@dataclass(frozen=True)
class Download:
    """One address and the file that it is to become."""

    url: str
    target: Path
    sha256: str | None = None

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def facts(self) -> Path:
        return self.target.with_name(self.target.name + ".json")


def target_in(folder: Path, url: str) -> Path:
    """Where the file of an address lies: a readable end of its name, and its hash."""
    last = url.partition("?")[0].rsplit("/", 1)[-1]
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", last)[-40:].strip("-.")
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return folder / f"{digest}-{name or 'text'}"


def fetch(download: Download, reporter: Reporter) -> bytes:
    """The bytes of the file, from the disk where an earlier call has put them.

    Raises :class:`CorpusError` when the address is wrong, the server keeps failing, the file is
    too large, or its sha256 is another one.
    """
    scheme = download.url.partition(":")[0].lower()
    if scheme not in ("http", "https", "file"):
        raise CorpusError(
            f"the address {download.url!r} must begin with http://, https:// or file://"
        )
    if scheme == "file":
        return _checked(_local(download.url), download)
    if download.target.is_file():
        reporter.note(f"downloaded before: {download.target} (delete it to fetch it again)")
        return _checked(text.read_file(download.target), download)
    _receive_all(download, reporter)
    try:
        data = _checked(text.read_file(download.part), download)
    except CorpusError:
        _forget(download)
        raise
    with os_errors_as(CorpusError, "write the download"):
        download.part.replace(download.target)
        download.facts.unlink(missing_ok=True)
    return data


def _local(url: str) -> bytes:
    try:
        path = Path(urllib.request.url2pathname(urllib.parse.urlparse(url).path))
    except ValueError as error:
        raise CorpusError(f"cannot read {url}: {error}", REMEDY) from error
    return text.read_file(path)


def _checked(data: bytes, download: Download) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if download.sha256 is not None and found != download.sha256:
        raise CorpusError(
            f"{download.url} is not the expected file: its sha256 is {found}, "
            f"not {download.sha256}",
            "try again; if it stays so, the file has changed at its source",
        )
    return data


def _receive_all(download: Download, reporter: Reporter) -> None:
    """Fill the ``.part`` file, however many tries it takes."""
    failures = 0
    for _ in range(TRIES_AT_MOST):
        before = _size(download.part)
        try:
            _receive(download, reporter)
            return
        except Unfinished as trouble:
            failures = 0 if _size(download.part) > before else failures + 1
            if failures > len(PAUSES_SECONDS):
                raise CorpusError(
                    f"cannot download {download.url}: {trouble.reason}", REMEDY
                ) from None
            pause = PAUSES_SECONDS[max(failures - 1, 0)]
            pause = max(pause, min(trouble.wait or 0.0, LONGEST_WAIT_SECONDS))
            reporter.note(f"{trouble.reason}; trying again in {pause:g} s")
            time.sleep(pause)
    raise CorpusError(
        f"{download.url} broke off {TRIES_AT_MOST} times",
        "run the same command again: it goes on where this one ended",
    )


def _receive(download: Download, reporter: Reporter) -> None:
    """One try. Raises :class:`Unfinished` for trouble that may pass."""
    try:
        request = urllib.request.Request(download.url, headers=_range_headers(download))
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            _store(answer, download, reporter)
    except urllib.error.HTTPError as error:
        reason = f"{download.url} answered {error.code} {error.reason}"
        if error.code == 416:  # the file is no longer as long as what is here
            _forget(download)
            raise Unfinished(reason) from error
        if error.code in TRANSIENT:
            raise Unfinished(reason, _seconds(error.headers.get("Retry-After"))) from error
        raise CorpusError(reason, REMEDY) from error
    except (
        urllib.error.URLError,
        TimeoutError,
        ConnectionError,
        http.client.HTTPException,
    ) as error:
        raise Unfinished(str(getattr(error, "reason", None) or error)) from error
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot download {download.url}: {error}", REMEDY) from error


def _range_headers(download: Download) -> dict[str, str]:
    """Ask for the rest of what is here, if the server's file can be told to be the same."""
    headers = {"User-Agent": "tinytx"}
    try:
        facts = json.loads(download.facts.read_bytes())
        known = facts["url"] == download.url and isinstance(facts["validator"], str)
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if known and (size := _size(download.part)):
        headers |= {"Range": f"bytes={size}-", "If-Range": facts["validator"]}
    return headers


def _store(answer: Answer, download: Download, reporter: Reporter) -> None:
    """Append what comes to the ``.part`` file, or begin it anew; check the announced length."""
    start = _content_start(answer)
    if start is not None and start != _size(download.part):
        _forget(download)
        raise Unfinished(f"{download.url} sent another part than was asked for")
    length = answer.headers.get("Content-Length")
    done = start or 0
    total = done + int(length) if length and length.isdigit() else None
    if total is not None and total > text.LARGEST_TEXT:
        raise _too_large(download)
    with os_errors_as(CorpusError, "write the download"):
        if start is None:
            _forget(download)
            facts = {"url": download.url, "validator": _validator(answer.headers)}
            atomic_write(download.facts, json.dumps(facts).encode())
        file = download.part.open("ab")
    with file:
        while block := answer.read(BLOCK):
            _write(file, block)
            done += len(block)
            reporter.download(done, total)
            if done > text.LARGEST_TEXT:
                raise _too_large(download)
    if total is not None and done < total:
        raise Unfinished(f"{download.url} broke off after {done:,} of {total:,} bytes")


def _write(file: BinaryIO, block: bytes) -> None:
    with os_errors_as(CorpusError, "write the download"):
        file.write(block)
        file.flush()


def _content_start(answer: Answer) -> int | None:
    """Where a partial answer (206) begins; None for a whole one."""
    if answer.status != 206:
        return None
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else -1


def _validator(headers: email.message.Message) -> str | None:
    """What If-Range can compare: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _too_large(download: Download) -> CorpusError:
    _forget(download)
    return CorpusError(f"{download.url} is larger than {text.LARGEST_TEXT:,} bytes")


def _forget(download: Download) -> None:
    for path in (download.part, download.facts):
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is not worth the code."""
    return float(value) if value and value.isdigit() else None
