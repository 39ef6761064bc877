"""Requests that no honest client sends: refused in the form of the interface, and nobody else is
the worse for them."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serve.inside import Inside, inside
from tests.serve.process import WAIT, Server
from tests.serve.test_http import everything

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: [::1]\r\n"
BODY = b'{"prompt": "River", "max_tokens": 1}'
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LAST = b"GET /health HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def ask(tiny_bundle: Path) -> Iterator[Inside]:
    with inside(tiny_bundle) as asked:
        yield asked


def sent(server: Server, data: bytes) -> bytes:
    """All that comes back."""
    with server.connect() as connection:
        connection.sendall(data)
        return everything(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"prompt": "a", "prompt": "b"}', "prompt"),
        (b'{"prompt": "a", "max_tokens": 1, "max_tokens": 9}', "max_tokens"),
        (b'{"prompt": "a", "stream_options": {"include_usage": true, "include_usage": false}}',
         "include_usage"),
    ],
)  # fmt: skip
def test_a_field_that_stands_twice_is_refused_by_its_name(
    ask: Inside, body: bytes, field: str
) -> None:
    found = ask("POST", "/v1/completions", body)
    assert found.status == 400
    error = found.json()["error"]
    assert error["param"] == field and "more than once" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        BODY.decode().encode("utf-16"),
        BODY.decode().encode("utf-32"),
        b"\xef\xbb\xbf" + BODY,
        b'{"prompt": "a", "seed": 1' + b"0" * 401 + b"}",
        b'{"prompt": "a", "seed": -1' + b"0" * 5_000 + b"}",
        b'{"prompt": "a", "min_p": -Infinity}',
        b'{"prompt": "a", "seed": 0x10}',
        b"{'prompt': 'a'}",
        b'{"prompt": "a",}',
        b'{"prompt": "a"} {"prompt": "b"}',
        b'{"prompt": "a\tb"}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_nearly_json_is_refused(ask: Inside, body: bytes) -> None:
    found = ask("POST", "/v1/completions", body)
    assert found.status == 400 and "not JSON" in found.json()["error"]["message"]


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_cut_into_tokens(
    ask: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ask.service.model
    assert model
    limit = model.bundle.manifest.model.max_seq_length
    longest = max(map(len, model.tokenizer.piece_bytes))
    cut = []
    encode = model.tokenizer.encode
    monkeypatch.setattr(model.tokenizer, "encode", lambda text: cut.append(text) or encode(text))
    for length in (limit * longest + 1, 190_000):
        found = ask("POST", "/v1/completions", json.dumps({"prompt": "a" * length}).encode())
        assert found.json()["error"]["code"] == "context_length_exceeded"
        assert str(length) in found.json()["error"]["message"]
    assert cut == []
    found = ask("POST", "/v1/completions", json.dumps({"prompt": "a" * limit * longest}).encode())
    assert found.json()["error"]["code"] == "context_length_exceeded"
    assert len(cut) == 1


def test_a_long_text_is_scored_as_if_it_were_cut_into_tokens_at_once(
    ask: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ask.service.model
    assert model
    text = "The quiet river.\nA señor and\n\n  the lantern \n" * 40 + "without an end"
    parts = []
    encode = model.tokenizer.encode
    monkeypatch.setattr("tinytx.serve.model.PART_CHARACTERS", 100)
    monkeypatch.setattr(
        model.tokenizer, "encode", lambda text: parts.append(encode(text)) or parts[-1]
    )
    found = ask("POST", "/v1/score", json.dumps({"text": text}).encode()).json()
    assert len(parts) > 10
    assert [token for part in parts for token in part] == encode(text)
    assert found["tokens"] == len(encode(text))


def test_a_body_with_two_lengths_is_refused(server: Server) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    for data in (
        HEAD + b"Content-Length: 3\r\n" + chunked,
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: 3, 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ):
        answer = sent(server, data + LAST)
        assert status(answer) in (400, 501), answer
        assert b'{"error":{' in answer


def test_requests_that_come_before_the_answers_are_answered_one_by_one(server: Server) -> None:
    answer = sent(server, WHOLE * 20 + HEAD + b"Content-Length: 1\r\n\r\n{" + WHOLE + LAST)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200] * 20 + [400] + [200] * 2


def test_a_token_is_known_by_any_spelling_of_its_scheme_and_by_no_other(tiny_bundle: Path) -> None:
    with inside(tiny_bundle, token="secret") as ask:
        for shown, wanted in (
            (b"Bearer secret", 200), (b"bearer secret", 200), (b"BEARER  secret ", 200),
            (b"Basic secret", 401), (b"secret", 401), (b"Bearer", 401), (b"Bearer secre", 401),
            (b"Bearer secret secret", 401), (b"", 401), (b"Bearer \xff", 401),
        ):  # fmt: skip
            found = ask("GET", "/v1/models", headers=[(b"authorization", shown)])
            assert found.status == wanted, shown


def test_no_request_makes_the_log_long(server: Server) -> None:
    before = len(server.said)
    for head in (
        b"GET /" + b"a" * 60_000,
        b"A" * 60_000 + b" /health",
        b"GET /v1/models/" + b"%0d%0a" * 5_000,
    ):
        answer = sent(server, head + b" HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        assert status(answer) in (400, 404, 405)
        assert len(answer) < 1_000
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n"
    assert status(sent(server, b"GET /health HTTP/1.1\r\nHost: [::1]\r\n" + upgrade)) == 200
    assert sent(server, LAST)
    server.wait_for("GET /health 200")
    said = server.said[before:]
    assert all(len(line) < 1_000 for line in said)
    assert not any("pip install" in line for line in said)


def test_who_opens_very_many_connections_is_turned_away_and_the_others_are_not(
    server: Server,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2_000:
        pytest.skip("this system lets nobody open 2,000 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2_000, hard))
    opened: list[socket.socket] = []
    try:
        kept = server.connect()
        opened = [server.connect() for _ in range(1_050)]
        assert status(ask_on(kept, b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n")) == 200
        away: list[bytes] = []
        end = time.monotonic() + WAIT
        while len(away) < 50 and time.monotonic() < end:  # until the server has come to them all
            for connection in opened:
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    if told := connection.recv(1_000):
                        away.append(told)
        assert len(away) >= 50
        assert all(one.startswith(b"HTTP/1.1 503 ") and b'{"error":{' in one for one in away)
        assert status(ask_on(kept, WHOLE)) == 200
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept.close()
    end = time.monotonic() + WAIT
    while not sent(server, LAST).startswith(b"HTTP/1.1 200 "):
        assert time.monotonic() < end
    assert not any("Traceback" in line or "out of system" in line for line in server.said)


def ask_on(connection: socket.socket, request: bytes) -> bytes:
    """The answer, whole: head and body may come one after the other."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < size:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body
