"""A release's manifest and files from a published folder: in parts, after interruptions, checked.

A file's name there is its sha256. What is here of it already is asked for no more (``Range``),
under the condition that the server has the same file (``If-Range``) where it named a validator; a
server that knows no ranges sends all of it, and what is here is skipped. Nothing counts before the
store has checked length and hash.
"""

import http.client
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tinytx import bundle as bundles
from tinytx.errors import BundleError, DeviceError
from tinytx.release import intake
from tinytx.release.channel import Memory, fit
from tinytx.release.intake import Cut, Missing
from tinytx.release.store import Store
from tinytx.release.web import Answer, Unfinished, Web, bounded

log = logging.getLogger(__name__)
PAUSES_SECONDS = (0.5, 2.0, 8.0)
"""Before each further try; one that got more of the file starts them anew."""
LONGEST_WAIT_SECONDS = 60.0
"""The longest pause that a server may ask for."""
TRIES_AT_MOST = 20
_BLOCK = 1 << 16
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A published folder, and until when it may be asked."""

    web: Web
    base: str
    memory: Memory
    end: float
    """By ``time.monotonic``."""
    keep: Callable[[], None]
    """Writes the memory down."""

    def left(self) -> float:
        """Seconds; raises :class:`Unfinished` when there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise Unfinished(f"{self.base} took longer than the whole pull may")
        return left


def manifest(site: Site, bundle_id: str) -> bytes:
    """The manifest of a bundle, checked against its id. Raises :class:`BundleError`."""
    url = f"{site.base}/manifests/{bundle_id}.json"

    def once() -> bytes:
        with site.web.ask(url, {}, site.left()) as answer:
            return bounded(answer, url, bundles.MAX_MANIFEST_BYTES)

    raw = _patiently(site, once, lambda: 0)
    found = bundles.parse_manifest(raw, Path("the published manifest")).id
    if found != bundle_id:
        raise BundleError(f"{url} is the manifest of another bundle, {found}")
    return raw


def file(site: Site, store: Store, wanted: Missing) -> None:
    """Receive one file that the store misses.

    Raises :class:`BundleError` when the server has another one, :class:`DeviceError` when it does
    not come; the part that came is kept.
    """
    transfer = _Transfer(site, store, wanted, wanted.held)
    _patiently(site, transfer.once, lambda: transfer.held)
    site.memory.validators.pop(wanted.sha256, None)


def _patiently(site: Site, once: Callable[[], T], progress: Callable[[], int]) -> T:
    """What ``once`` returns, tried again after trouble that may pass."""
    failures = 0
    for left in reversed(range(TRIES_AT_MOST)):
        before = progress()
        try:
            return once()
        except Unfinished as trouble:
            failures = 1 if progress() > before else failures + 1
            if failures > len(PAUSES_SECONDS) or not left:
                raise
            pause = max(PAUSES_SECONDS[failures - 1], min(trouble.wait, LONGEST_WAIT_SECONDS))
            log.info("%s; trying again in %g s", trouble.message, pause)
            time.sleep(min(pause, site.left()))
    raise AssertionError("the last try returns or raises")


@dataclass
class _Transfer:
    """A file on its way."""

    site: Site
    store: Store
    wanted: Missing
    held: int
    """Bytes that the store has."""
    ranges: bool = True
    """Whether the server is believed to answer for parts of it."""

    @property
    def url(self) -> str:
        return f"{self.site.base}/files/{self.wanted.sha256}"

    def once(self) -> None:
        """One try. Raises :class:`Unfinished` for trouble that may pass."""
        try:
            if self.held == self.wanted.size:  # only its last step is missing
                self._pour(_Nothing())
                return
            with self.site.web.ask(self.url, self._headers(), self.site.left()) as answer:
                self._pour(_Stream(answer, self._skipped(answer)))
        except Cut as cut:
            before, self.held = self.held, cut.held
            if (cut.kind == "hash" and before == 0) or cut.kind == "length":
                raise self._damaged() from cut
            raise Unfinished(f"{self.url}: {cut.message}") from cut

    def _pour(self, source: intake.Source) -> None:
        wanted = self.wanted
        intake.receive(
            self.store, wanted.sha256, wanted.size, self.held, source, command="release pull"
        )

    def _headers(self) -> dict[str, str]:
        if not self.held or not self.ranges:
            return {}
        known = self.site.memory.validators.get(self.wanted.sha256)
        return {"Range": f"bytes={self.held}-"} | ({"If-Range": known} if known else {})

    def _skipped(self, answer: Answer) -> int:
        """How much of the body is here already; the answer must fit the file that is wanted."""
        size, start = self.wanted.size, 0
        if answer.status == 206:
            start = self.held
            given = answer.headers.get("Content-Range", "").strip()
            if not re.fullmatch(rf"bytes {start}-{size - 1}/({size}|\*)", given):
                self.ranges = False
                raise Unfinished(f"{self.url} sent another part than was asked for")
        elif answer.status != 200:
            raise DeviceError(f"{self.url} answered {answer.status}, but has not been read before")
        if answer.length not in (None, size - start):  # perhaps of a head that was cut
            raise Unfinished(f"{self.url} announces {answer.length} bytes, not {size - start}")
        if answer.status == 200:
            self._note(answer.headers.get("ETag", ""))
        return self.held - start

    def _note(self, etag: str) -> None:
        """Remember a validator that ``If-Range`` can compare: a strong one."""
        known = self.site.memory.validators
        known.pop(self.wanted.sha256, None)
        if etag.startswith('"') and fit(etag):
            known[self.wanted.sha256] = etag
        self.site.keep()

    def _damaged(self) -> BundleError:
        return BundleError(
            f"{self.url} is not what its name says: {self.wanted.name} is damaged there",
            "publish the bundle again",
        )


class _Nothing:
    """No byte more."""

    def read(self, size: int, seconds: float) -> bytes:
        return b""


class _Stream:
    """An answer's body as the store reads it; trouble on the way is its end, or its silence."""

    def __init__(self, answer: Answer, skip: int) -> None:
        self._body, self._skip = answer.body, skip

    def read(self, size: int, seconds: float) -> bytes | None:
        try:
            while self._skip:
                passed = self._body.read(min(_BLOCK, self._skip))
                if not passed:
                    return b""
                self._skip -= len(passed)
            return self._body.read(size)
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException):
            return b""
