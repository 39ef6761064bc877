"""Answers of a server: where a redirect may lead, and which parts belong to a file."""

import email.message
import urllib.request

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus.answers import (
    Changed,
    Facts,
    Redirects,
    facts_from,
    first_facts,
    part_size,
)


class Part:
    """An answer with these headers."""

    status = 206

    def __init__(self, **headers: str) -> None:
        self.headers = email.message.Message()
        for name, value in headers.items():
            self.headers[name.replace("_", "-")] = value

    def read(self, amount: int, /) -> bytes:
        return b""


def follow(start: str, end: str) -> urllib.request.Request | None:
    """What is asked for where ``start`` redirects to ``end``."""
    headers = email.message.Message()
    return Redirects().redirect_request(
        urllib.request.Request(start), None, 302, "Found", headers, end  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("http://a.org/x", "http://b.org/y"),
        ("http://a.org/x", "https://b.org/y"),
        ("https://a.org/x", "HTTPS://b.org/y"),
    ],
)
def test_a_redirect_within_the_web_is_followed(start: str, end: str) -> None:
    request = follow(start, end)
    assert request is not None
    assert request.full_url == end


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("http://a.org/x", "ftp://a.org/y", "only http and https are"),
        ("https://a.org/x", "ftp://a.org/y", "only http and https are"),
        ("http://a.org/x", "file:///etc/passwd", "only http and https are"),
        ("http://a.org/x", "data:text/plain,words", "only http and https are"),
        ("https://a.org/x", "http://a.org/x", "it is not encrypted"),
    ],
)
def test_a_redirect_to_less_than_that_is_refused(start: str, end: str, why: str) -> None:
    with pytest.raises(CorpusError, match=why) as caught:
        follow(start, end)
    assert caught.value.message.startswith(f"{start} leads on to {end}")


@pytest.mark.parametrize("header", ["", "bytes */100", "bytes 10-", "items 10-99/100", "bytes a"])
def test_a_part_that_does_not_say_where_it_begins_is_no_part(header: str) -> None:
    with pytest.raises(Changed, match="another part than was asked for"):
        part_size(Part(Content_Range=header), "x", 10, Facts('"v"', 100))


@pytest.mark.parametrize(
    ("known", "headers"),
    [
        (Facts('"v"', 100), {}),
        (Facts('"v"', None), {"ETag": '"v"'}),
        (Facts('"v"', 100), {"ETag": 'W/"v"'}),
        (Facts('"v"', 100), {"Last_Modified": "Sat, 01 Aug 2026 00:00:00 GMT"}),
        (Facts("Sat, 01 Aug 2026 00:00:00 GMT", 100), {"ETag": '"v"'}),
    ],
)
def test_a_part_of_the_same_file_is_taken(known: Facts, headers: dict[str, str]) -> None:
    assert part_size(Part(Content_Range="bytes 10-99/100", **headers), "x", 10, known) == 100


def test_a_weak_etag_is_nothing_to_go_on_with() -> None:
    assert first_facts(Part(ETag='W/"v"', Content_Length="7").headers) == Facts(None, 7)
    assert first_facts(Part(ETag='W/"v"', Last_Modified="x").headers) == Facts("x", None)
    assert first_facts(Part(ETag='"v"', Content_Length="-7").headers) == Facts('"v"', None)


@pytest.mark.parametrize("document", [{}, {"validator": 1, "size": 1}, {"validator": "v"}])
def test_facts_that_were_written_otherwise_are_not_believed(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        facts_from(document)
