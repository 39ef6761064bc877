"""Asking a service that answers, and ones that do everything but that."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tinytx.release import health

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server of one connection; returns its address."""
    threads, listeners = [], []

    def start(talk: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    talk(connection)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join()


def saying(raw: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(raw)

    return talk


def test_an_answer_is_read_with_its_code(serve: Serve) -> None:
    address = serve(saying(b'HTTP/1.1 503 No\r\nContent-Length: 18\r\n\r\n{"status":"empty"}'))
    answer = health.ask(address, "/health", seconds=5.0)
    assert (answer.code, answer.document, answer.trouble) == (503, {"status": "empty"}, "")


def test_a_body_is_posted_with_its_length_and_the_token(serve: Serve) -> None:
    heard = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(1 << 16))
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n{}")

    body = {"prompt": "é", "max_tokens": 4}
    health.ask(serve(talk), "/v1/completions", body=body, token="secret", seconds=5.0)
    head, _, raw = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/completions HTTP/1.0\r\n")
    assert b"Authorization: Bearer secret" in head
    assert f"Content-Length: {len(raw)}".encode() in head
    assert json.loads(raw) == body


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00\xff" * 50, b"HTTP/1.1", b"HTTP/1.1 x\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n[1]",
     b"HTTP/1.1 200 OK\r\n\r\n{", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000],
)  # fmt: skip
def test_an_answer_that_is_none_is_trouble(serve: Serve, raw: bytes) -> None:
    answer = health.ask(serve(saying(raw)), "/health", seconds=5.0)
    assert answer.trouble == "an answer that is none"
    assert answer.document == {}


def test_an_answer_without_end_is_not_kept(serve: Serve) -> None:
    def flood(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * (1 << 16))

    assert health.ask(serve(flood), "/health", seconds=20.0).trouble == "an answer that is none"


def test_an_answer_that_drips_ends_at_the_deadline_of_the_whole(serve: Serve) -> None:
    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)

    answer = health.ask(serve(drip), "/health", seconds=0.3)
    assert answer.trouble == "no answer within 0.3 s"


def test_nobody_at_the_address_is_trouble_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = health.ask(f"http://127.0.0.1:{port}", "/health", seconds=5.0)
    assert answer.trouble == "no answer: Connection refused"


def test_no_proxy_of_the_environment_is_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    answer = health.ask(serve(saying(b"HTTP/1.1 200 OK\r\n\r\n{}")), "/health", seconds=5.0)
    assert answer.code == 200
