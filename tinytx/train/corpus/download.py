"""A file from the network: in parts, after interruptions, with its checksum, or not at all.

What has arrived lies in a ``.part`` file beside its facts (``.json``: the address, the length and
the validator that the server gave). A later try asks for the rest (RFC 9110, range requests) under
the condition that the file is still the same one (``If-Range``); a server that does not know ranges
sends it whole again. Trouble that may pass is tried again after growing pauses.
"""

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from tinytx.errors import CorpusError, os_errors_as
from tinytx.train.corpus import answers, archives
from tinytx.train.corpus.answers import PORTAL, REMEDY, Answer, Changed, Facts, Unfinished
from tinytx.train.corpus.formats import HEAD, HTML, recognise
from tinytx.train.corpus.text import checked
from tinytx.train.progress import Reporter
from tinytx.workspace import atomic_write, sha256_file

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (0.5, 2.0, 8.0)
"""Before each further try; one that got more of the file starts them anew."""
LONGEST_WAIT_SECONDS = 60.0
"""The longest pause that a server may ask for (Retry-After)."""
TRIES_AT_MOST = 20
BLOCK = 1 << 16


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
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return folder / f"{digest}-{name or 'text'}"


def fetch(download: Download, reporter: Reporter) -> Path:
    """The file on this machine, where an earlier call may have put it.

    Raises :class:`CorpusError` when the address is wrong, the server keeps failing, the file is
    too large, or its sha256 is another one.
    """
    scheme = download.url.partition(":")[0].lower()
    if scheme not in ("http", "https", "file"):
        raise CorpusError(
            f"the address {download.url!r} must begin with http://, https:// or file://"
        )
    if (local := local_file(download.url)) is not None:
        return _checked(local, download)
    if download.target.is_file():
        reporter.note(f"downloaded before: {download.target} (delete it to fetch it again)")
        return _checked(download.target, download)
    _receive_all(download, reporter)
    try:
        head = _head(_checked(download.part, download))
        if not head:
            raise CorpusError(f"{download.url} is empty", REMEDY)
        if recognise(head) is HTML:
            raise CorpusError(f"{download.url} answered with a web page, not with a text", PORTAL)
    except CorpusError:
        _forget(download)
        raise
    with os_errors_as(CorpusError, "write the download"):
        download.part.replace(download.target)
        download.facts.unlink(missing_ok=True)
    return download.target


def _head(path: Path) -> bytes:
    with os_errors_as(CorpusError, "read the download"), path.open("rb") as file:
        return file.read(HEAD)


def local_file(url: str) -> Path | None:
    """The path of a ``file:`` address; None for any other address.

    Raises :class:`CorpusError` for one that names another machine.
    """
    if url.partition(":")[0].lower() != "file":
        return None
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.netloc.lower() not in ("", "localhost"):
            raise CorpusError(
                f"{url} names a file on another machine ({parts.netloc})",
                "give file:/// with the file's whole path, or http",
            )
        return Path(urllib.request.url2pathname(parts.path))
    except ValueError as error:
        raise CorpusError(f"cannot read {url}: {error}", REMEDY) from error


def _checked(path: Path, download: Download) -> Path:
    checked(path)
    if download.sha256 is None:
        return path
    with os_errors_as(CorpusError, "read the download"):
        found = sha256_file(path)
    if found != download.sha256:
        raise CorpusError(
            f"{download.url} is not the expected file: its sha256 is {found}, "
            f"not {download.sha256}",
            "try again; if it stays so, the file has changed at its source",
        )
    return path


def _receive_all(download: Download, reporter: Reporter) -> None:
    """Fill the ``.part`` file, however many tries it takes."""
    failures, reason = 0, ""
    for _ in range(TRIES_AT_MOST):
        before = _size(download.part)
        try:
            _receive(download, reporter)
            return
        except Unfinished as trouble:
            reason = trouble.reason
            failures = 0 if _size(download.part) > before else failures + 1
            if failures > len(PAUSES_SECONDS):
                raise CorpusError(f"cannot download {download.url}: {reason}", REMEDY) from None
            pause = PAUSES_SECONDS[max(failures - 1, 0)]
            pause = max(pause, min(trouble.wait or 0.0, LONGEST_WAIT_SECONDS))
            reporter.note(f"{reason}; trying again in {pause:g} s")
            time.sleep(pause)
    raise CorpusError(
        f"{download.url} broke off {TRIES_AT_MOST} times, the last time: {reason}",
        "run the same command again: it goes on where this one ended",
    )


def _receive(download: Download, reporter: Reporter) -> None:
    """One try. Raises :class:`Unfinished` for trouble that may pass."""
    known = _known(download)
    asked = 0 if known.validator is None else _size(download.part)
    headers = {"User-Agent": "tinytx"}
    if asked:
        headers |= {"Range": f"bytes={asked}-", "If-Range": str(known.validator)}
    try:
        request = urllib.request.Request(download.url, headers=headers)
        _ = urllib.parse.urlsplit(download.url).port  # checked here: the resolver cuts off bits
        opener = urllib.request.build_opener(answers.Redirects)
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            _store(answer, download, asked, known, reporter)
    except Changed:
        _forget(download)
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        found = answers.trouble(error, download.url)
        if isinstance(found, Changed):
            _forget(download)
        raise found from error


def _known(download: Download) -> Facts:
    """What an earlier answer said of the file whose beginning is here."""
    try:
        document = json.loads(download.facts.read_bytes())
        if document["url"] == download.url:
            return answers.facts_from(document)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return Facts(None, None)


def _store(
    answer: Answer, download: Download, asked: int, known: Facts, reporter: Reporter
) -> None:
    """Append what comes to the ``.part`` file, or begin it anew; check the announced length."""
    answers.refuse_page(answer, download.url)
    done, facts = 0, answers.first_facts(answer.headers)
    if answer.status == 206:
        done, size = asked, answers.part_size(answer, download.url, asked, known)
        facts = Facts(known.validator, size)
    if facts.size is not None and facts.size > archives.LARGEST_TEXT:
        raise _too_large(download)
    with os_errors_as(CorpusError, "write the download"):
        if answer.status != 206:
            _forget(download)
        document = {"url": download.url, **asdict(facts)}
        atomic_write(download.facts, json.dumps(document).encode())
        file = download.part.open("ab")
    with file:
        while block := answer.read(BLOCK):
            _write(file, block)
            done += len(block)
            reporter.download(done, facts.size)
            if done > archives.LARGEST_TEXT:
                raise _too_large(download)
    _check_length(download, done, facts.size)


def _check_length(download: Download, done: int, size: int | None) -> None:
    if size is not None and done < size:
        raise Unfinished(f"{download.url} broke off after {done:,} of {size:,} bytes")
    if size is not None and done > size:
        raise Changed(f"{download.url} sent {done:,} bytes; it had announced {size:,}")


def _write(file: BinaryIO, block: bytes) -> None:
    with os_errors_as(CorpusError, "write the download"):
        file.write(block)
        file.flush()


def _too_large(download: Download) -> CorpusError:
    _forget(download)
    return CorpusError(f"{download.url} is larger than {archives.LARGEST_TEXT:,} bytes")


def _forget(download: Download) -> None:
    for path in (download.part, download.facts):
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
