"""What the client makes of answers: whole, in odd pieces, refused, cut, and late."""

import asyncio
import time

import pytest

from tests.measure.load.answers import DONE, END, HEAD, chunk, loaded, saying, text, usage
from tinytx.errors import UsageError
from tinytx.measure.load import client
from tinytx.measure.load.client import Target, target_of

WHOLE = text("a") + text("b") + usage(2) + DONE


def test_a_whole_answer_has_its_tokens_and_the_times_of_its_pieces() -> None:
    parts = [HEAD, chunk(text("a")), chunk(text("b")), chunk(text("c") + usage(3) + DONE), END]
    (one,) = loaded(saying(*parts, between=0.01)).exchanges
    assert (one.status, one.error, one.tokens) == (200, "", 3)
    assert one.first is not None and len(one.pieces) == 2
    assert one.first > 0 and min(one.pieces) > 5_000_000
    assert one.end >= one.first + sum(one.pieces)


@pytest.mark.parametrize("size", [1, 7, 50, 1_000])
def test_where_chunks_are_cut_makes_no_difference(size: int) -> None:
    pieces = [chunk(WHOLE[at : at + size]) for at in range(0, len(WHOLE), size)]
    (one,) = loaded(saying(HEAD + b"".join(pieces) + END)).exchanges
    assert (one.error, one.tokens) == ("", 2)


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\n\r\n", f"HTTP/1.0 200 OK\r\nContent-Length: {len(WHOLE)}\r\n\r\n"]
)
def test_an_answer_without_chunks_is_read_as_well(head: str) -> None:
    (one,) = loaded(saying(head.encode() + WHOLE)).exchanges
    assert (one.error, one.tokens) == ("", 2)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([HEAD, chunk(text("a") + usage(1)), END], "before [DONE]"),
        ([HEAD, chunk(text("a") + DONE), END], "did not count its tokens"),
        (
            [HEAD, chunk(text("a") + b'data: {"error":{"message":"it broke"}}\n\n' + DONE), END],
            "an error in mid-stream: it broke",
        ),
        ([HEAD, chunk(text("a"))], "the connection failed: it ended too early"),
        ([HEAD, b"zz\r\n"], "does not speak HTTP"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "does not speak HTTP"),
        ([], "the connection failed: it ended too early"),
        (
            [b'HTTP/1.1 429 No\r\ncontent-length: 29\r\n\r\n{"error":{"message":"queue"}}'],
            "429: queue",
        ),
        ([b"HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\noops"], "500: no message"),
    ],
)
def test_what_is_no_whole_answer_is_an_error_that_says_why(parts: list[bytes], says: str) -> None:
    (one,) = loaded(saying(*parts)).exchanges
    assert says in one.error


def test_a_server_that_stands_still_delays_no_later_request() -> None:
    """And whoever came meanwhile is charged with it: no coordinated omission."""
    lock = asyncio.Lock()

    async def one_after_the_other(writer: asyncio.StreamWriter) -> None:
        async with lock:
            await asyncio.sleep(0.1)
            writer.write(HEAD + chunk(WHOLE) + END)
            await writer.drain()

    load = loaded(one_after_the_other, (0.0, 0.01, 0.02))
    firsts = [one.first or 0 for one in load.exchanges]
    assert all(one.error == "" for one in load.exchanges)
    assert firsts[0] >= 99_000_000
    assert firsts[1] >= 185_000_000 and firsts[2] >= 275_000_000


def test_a_client_that_is_held_up_itself_knows_how_late_it_sent() -> None:
    async def blocking(writer: asyncio.StreamWriter) -> None:
        time.sleep(0.2)  # the loop of the client, too
        writer.write(HEAD + chunk(WHOLE) + END)

    load = loaded(blocking, (0.0, 0.1))
    assert load.exchanges[1].late > 50_000_000
    assert (load.exchanges[1].first or 0) > load.exchanges[1].late


def test_an_answer_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.05)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)

    (one,) = loaded(silent).exchanges
    assert one.error.startswith("not answered within") and one.status == 0


def test_a_token_is_sent_and_a_request_asks_for_usage() -> None:
    from tinytx.measure.load.schedule import Arrival

    body = client.completion(Target("::1", 80, "secret"), Arrival(0.0, "A", 3), 8).decode()
    assert "authorization: Bearer secret\r\n" in body and "host: [::1]:80\r\n" in body
    assert '"include_usage": true' in body and '"seed": 3' in body


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://127.0.0.1:8765", "127.0.0.1", 8765),
        ("pi.local:9000", "pi.local", 9000),
        ("http://[::1]:1/v1", "::1", 1),
        ("http://pi", "pi", 80),
    ],
)
def test_addresses_are_read(address: str, host: str, port: int) -> None:
    assert target_of(address) == Target(host, port)


@pytest.mark.parametrize("address", ["https://a", "ftp://a", "http://", "a:b", "http://a/page"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--serve"):
        target_of(address)
