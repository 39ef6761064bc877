"""What the server does with clients that are slow, silent, gone, too many or not allowed."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.serve.process import COMMAND, WAIT, Server, serving, serving_slowly

ASKED = {"prompt": "River", "max_tokens": 30, "temperature": 0}
PATIENCE = 1
"""Seconds that the slow server waits for who says nothing."""


@pytest.fixture(scope="module")
def slow(tiny_bundle: Path) -> Iterator[Server]:
    """Two slots, two places to wait, 20 ms a step."""
    settings = {"slots": 2, "waiting": 2, "silent_seconds": PATIENCE}
    limits = {"body_seconds": 0.5, "write_seconds": 0.5}
    with serving_slowly(tiny_bundle, 0.02, settings, limits) as running:
        yield running


def health_shows(server: Server, **wanted: int) -> None:
    """Wait until the health says so."""
    end = time.monotonic() + WAIT
    while True:
        _, found, _ = server.ask("/health")
        if wanted.items() <= found.items():
            return
        assert time.monotonic() < end, f"{found}, not {wanted}"
        time.sleep(0.01)


def sent(server: Server, body: dict[str, Any]) -> socket.socket:
    """A connection on which a completion has been asked for."""
    data = json.dumps(body).encode()
    connection = server.connect()
    connection.sendall(_head(len(data)) + data)
    return connection


def _head(size: int) -> bytes:
    return (
        f"POST /v1/completions HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {size}\r\n\r\n".encode()
    )


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_who_finds_slots_and_queue_full_is_told_when_to_come_again(
    slow: Server, client_of: Callable[..., OpenAI]
) -> None:
    with client_of(slow) as client:
        client.models.list()  # on a busy machine its first request takes as long as all the texts
        full = sent(slow, {**ASKED, "n": 4, "max_tokens": 40})
        health_shows(slow, running=2, waiting=2)
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="tinytx", prompt="River")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    full.close()
    health_shows(slow, running=0, waiting=0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_goes_away_frees_its_slot_and_its_place_in_the_queue(
    slow: Server, stream: bool
) -> None:
    stays = sent(slow, {**ASKED, "max_tokens": 40})
    goes = sent(slow, {**ASKED, "max_tokens": 40, "n": 3, "stream": stream})
    health_shows(slow, running=2, waiting=2)
    goes.close()
    health_shows(slow, running=1, waiting=0)  # before the other one has ended
    body = b""
    while b"finish_reason" not in body:
        body += stays.recv(65536)
    assert b'"length"' in body
    stays.close()


@pytest.mark.parametrize("size", [200, 200_000])
@pytest.mark.parametrize("waits", [False, True], ids=["running", "waiting"])
def test_a_client_that_has_sent_its_next_requests_and_goes_away_frees_its_slot(
    slow: Server, size: int, waits: bool
) -> None:
    before = vanished(slow)
    others = [sent(slow, {**ASKED, "max_tokens": 40, "n": 2})] if waits else []
    if waits:
        health_shows(slow, running=2, waiting=0)
    goes = sent(slow, {**ASKED, "max_tokens": 40})
    health_shows(slow, running=2 if waits else 1, waiting=int(waits))
    goes.sendall((b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n" * 5_000)[:size])
    time.sleep(0.05)  # the server has taken them, or as much as it takes
    goes.close()
    end = time.monotonic() + WAIT
    while vanished(slow) == before:  # its text was not made to its end
        assert time.monotonic() < end
        time.sleep(0.01)
    for other in others:
        other.close()
    health_shows(slow, running=0, waiting=0)
    assert not any("Traceback" in line for line in slow.said)


def vanished(server: Server) -> int:
    """Requests whose client had gone before their answer was there."""
    return sum("/v1/completions 499" in line for line in server.said)


def test_who_sends_far_more_than_its_request_gets_its_answer_and_no_other(slow: Server) -> None:
    with sent(slow, {**ASKED, "max_tokens": 40}) as connection:
        health_shows(slow, running=1)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n" * 5_000)
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 200 ")
    assert b'"finish_reason":"length"' in answer


def test_a_connection_on_which_nothing_comes_is_closed(slow: Server) -> None:
    with slow.connect() as connection:
        assert everything(connection) == b""


def test_a_connection_that_never_ends_its_request_is_closed(slow: Server) -> None:
    with slow.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost:")
        assert everything(connection) == b""


def test_a_kept_connection_that_never_ends_its_second_request_is_closed(slow: Server) -> None:
    with slow.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /heal")
        everything(connection)


def test_a_long_answer_outlives_the_patience_for_silence(slow: Server) -> None:
    with sent(slow, {**ASKED, "max_tokens": 40, "n": 2, "stop": "\u2603"}) as connection:
        began = time.monotonic()
        body = connection.recv(65536)
        while b"finish_reason" not in body:
            body += connection.recv(65536)
        assert time.monotonic() - began > 0.7  # 40 steps: the model was slow indeed
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)  # the connection is kept


def test_a_body_that_comes_too_slowly_is_refused_and_its_connection_closed(slow: Server) -> None:
    with slow.connect() as connection:
        connection.sendall(_head(100) + b'{"prompt"')
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in answer


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    body = b'{"prompt": "' + b"a" * 1_000_000 + b'"}'
    status, found, _ = server.ask("/v1/completions", body)
    assert status == 413 and "1000000 bytes" in found["error"]["message"]
    with server.connect() as connection:  # one that does not tell its length
        connection.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(17):
            connection.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_reader_who_takes_nothing_is_let_go(tiny_bundle: Path) -> None:
    settings, limits = {"slots": 8, "waiting": 120}, {"write_seconds": 0.5}
    body = {"prompt": "a", "n": 128, "max_tokens": 45, "logprobs": 20, "stream": True}
    with serving_slowly(tiny_bundle, 0.0, settings, limits) as server:
        connection = socket.socket()  # more is written than the buffers of the system hold
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(WAIT)
        connection.connect((server.host, server.port))
        data = json.dumps(body).encode()
        connection.sendall(_head(len(data)) + data)
        health_shows(server, running=8)
        opened = server.sockets()
        server.wait_for("/v1/completions 499")
        health_shows(server, running=0, waiting=0)
        end = time.monotonic() + WAIT
        while server.sockets() >= opened:  # its buffers are not kept for it
            assert time.monotonic() < end
            time.sleep(0.01)
        assert b"[DONE]" not in everything(connection)
        connection.close()
        assert not any("Traceback" in line or "ASGI" in line for line in server.said)


def test_names_and_addresses_that_are_nonsense_break_nothing(server: Server) -> None:
    for head in (
        b"GET /health HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /health/ HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /v1/models/a%0Ab HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        b"GET /v1/models/%FF%00 HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        b"GET //elsewhere HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        b"PUT /v1/completions HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 0\r\n\r\n",
    ):
        with server.connect() as connection:
            connection.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = everything(connection)
        status = int(answer.split()[1])
        assert status in (200, 404, 405), answer
        assert status == 200 or b'{"error":{' in answer
    assert not any("Traceback" in line or line.startswith("b ") for line in server.said)


@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: [::1]\r\n\r\n"])
def test_what_is_no_http_is_refused_in_the_form_of_the_interface(
    server: Server, before: bytes
) -> None:
    with server.connect() as connection:
        connection.sendall(before + b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 200 ") == bool(before)
    assert answer.count(b"HTTP/1.1 400 ") == 1 and b'{"error":{' in answer


def test_a_body_that_is_no_http_is_refused_and_leaves_nothing_behind(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n"
        )
        assert everything(connection).startswith(b"HTTP/1.1 400 ")
    assert not any("Traceback" in line for line in server.said)


def test_the_log_and_the_metrics_hold_no_prompt(server: Server) -> None:
    server.ask("/v1/completions", {"prompt": "secretword", "echo": True, "max_tokens": 1})
    server.ask("/v1/completions", {"prompt": "secretword", "secretfield": 1})
    server.ask("/v1/score", {"text": "secretword"})
    _, text, _ = server.ask("/metrics")
    assert 'tinytx_requests_total{path="/v1/completions",status="200"}' in text
    assert "secretword" not in text
    assert any("POST /v1/completions 200" in line for line in server.said)
    assert not any("secretword" in line for line in server.said)


def test_a_token_is_asked_for_where_there_is_one(
    tiny_bundle: Path, tmp_path: Path, client_of: Callable[..., OpenAI]
) -> None:
    file = tmp_path / "token"
    file.write_text("correct-horse\n")
    with serving(tiny_bundle, "--slots", "2", "--token-file", str(file)) as server:
        with client_of(server, "wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                client.completions.create(model="tinytx", prompt="River")
            assert caught.value.code == "invalid_api_key"
            with pytest.raises(openai.AuthenticationError):
                client.models.list()
        with client_of(server, "correct-horse") as client:
            assert client.completions.create(model="tinytx", prompt="River").choices
        assert server.ask("/health")[0] == 200
        assert server.ask("/")[0] == 200
        assert server.ask("/metrics")[0] == 401
        status, _, headers = server.ask("/v1/models", Authorization="Bearer corr\xe9ct")
        assert status == 401 and headers["www-authenticate"] == "Bearer"
        assert server.end() == 0
        assert not any("correct-horse" in line for line in server.said)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_is_refused(server: Server, site: str) -> None:
    asked = ("/v1/completions", {"prompt": "River", "max_tokens": 1})
    status, found, headers = server.ask(*asked, Sec_Fetch_Site=site, Origin="http://elsewhere")
    assert status == 403 and found["error"]["code"] == "foreign_origin"
    assert not any(name.startswith("access-control") for name in headers)
    assert server.ask("/", Sec_Fetch_Site=site)[0] == 200  # a link leads here
    assert server.ask(*asked, Sec_Fetch_Site="same-origin", Origin=server.address)[0] == 200
    assert server.ask(*asked, Sec_Fetch_Site="none")[0] == 200


def test_sigterm_lets_a_stream_end_whole_and_takes_nobody_new(
    tiny_bundle: Path, client_of: Callable[..., OpenAI]
) -> None:
    with serving_slowly(tiny_bundle, 0.02, {"slots": 2}) as server, client_of(server) as client:
        whole = client.completions.create(model="tinytx", **ASKED).choices[0].text  # type: ignore[call-overload]
        stream = client.completions.create(model="tinytx", stream=True, **ASKED)  # type: ignore[call-overload]
        text = next(iter(stream)).choices[0].text
        kept = server.connect()
        server.process.send_signal(signal.SIGTERM)
        for chunk in stream:
            text += chunk.choices[0].text
        assert (text, chunk.choices[0].finish_reason) == (whole, "length")
        kept.close()
        assert server.ended() == 0
        assert not any("Traceback" in line for line in server.said)


def test_ctrl_c_ends_an_idle_server_with_zero(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--slots", "1") as server:
        silent = server.connect()
        assert server.end(signal.SIGINT) == 0
        silent.close()


def test_what_is_not_done_in_the_time_to_drain_is_cut(tiny_bundle: Path) -> None:
    with serving_slowly(tiny_bundle, 0.2, {"slots": 1, "drain_seconds": 1}) as server:
        connection = sent(server, {**ASKED, "max_tokens": 45, "stream": True})
        connection.recv(100)
        assert server.end() == 0
        assert b"[DONE]" not in everything(connection)


def refused(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and words of a server that does not start."""
    found = subprocess.run(
        [sys.executable, "-c", COMMAND, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert "Traceback" not in found.stderr
    return found.returncode, found.stderr.splitlines()


def test_a_port_in_use_ends_with_one_sentence(tiny_bundle: Path, server: Server) -> None:
    code, said = refused(str(tiny_bundle), "--slots", "1", "--port", str(server.port), "--quiet")
    assert code == 1
    assert said[0].startswith("tinytx: cannot listen on 127.0.0.1, port")
    assert "--port 0" in " ".join(said)


def test_another_address_needs_a_token_or_a_clear_word(tiny_bundle: Path, tmp_path: Path) -> None:
    code, said = refused(str(tiny_bundle), "--host", "0.0.0.0")
    assert code == 64 and "--token-file" in " ".join(said)
    empty = tmp_path / "empty"
    empty.write_text("\n")
    code, said = refused(str(tiny_bundle), "--token-file", str(empty))
    assert code == 64 and "one token" in " ".join(said)
    code, said = refused(str(tiny_bundle), "--token-file", str(tmp_path / "none"))
    assert code == 64 and "cannot read" in " ".join(said)
    code, said = refused(str(tmp_path / "no-bundle"))
    assert code == 9


def test_many_clients_at_once_are_all_served(server: Server) -> None:
    found: list[int] = []

    def ask() -> None:
        found.append(server.ask("/v1/completions", {**ASKED, "max_tokens": 20})[0])

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 24


def test_one_address_has_as_many_requests_at_a_time_as_the_flag_says(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--per-client", "1") as server:
        with server.connect() as slow_one:
            slow_one.sendall(_head(100) + b'{"prompt": ')  # its body is on the way
            end = time.monotonic() + WAIT
            while (status := server.ask("/v1/completions", ASKED)[0]) == 200:
                assert time.monotonic() < end
            refused, answer, headers = server.ask("/v1/models")
            assert (status, refused, headers["retry-after"]) == (429, 429, "1")
            assert "one address may have 1 request at a time" in answer["error"]["message"]
            assert server.ask("/health")[0] == 200
        while (status := server.ask("/v1/completions", ASKED)[0]) == 429:
            assert time.monotonic() < end
        assert status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("LOCALHOST", 200),
        ("[::1]:1", 200),
        ("rebound.example:8765", 403),
        ("127.0.0.1.example", 403),
    ],
)
def test_a_page_whose_name_was_made_to_point_here_is_not_answered(
    server: Server, host: str, status: int
) -> None:
    assert server.ask("/v1/models", Host=host)[0] == status


def test_who_wants_to_be_called_by_any_name_says_so(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--insecure") as server:
        assert server.ask("/v1/models", Host="board.example")[0] == 200
