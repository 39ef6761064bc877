"""Which server answers, what it says of itself, and what is not one of ours."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tinytx.errors import DeviceError, TinytxError, UsageError
from tinytx.measure.load.client import Target
from tinytx.measure.load.server import (
    Memory,
    Serving,
    asked,
    listening_process,
    memory_of,
    started,
    ticks_of,
)

CARD = {"owned_by": "tinytx", "bundle": "ab" * 32, "precision": "int8", "max_model_len": 64}


def ask(answers: dict[str, tuple[int, object]]) -> Serving:
    """What :func:`asked` makes of a server with these answers, by path."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        status, document = answers[path]
        body = json.dumps(document).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    async def both() -> Serving:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        try:
            return await asked(Target(host, port), 7, ours=False)
        finally:
            server.close()

    return asyncio.run(both())


def test_a_server_of_ours_says_what_it_serves() -> None:
    health = (200, {"status": "ok", "slots": 4})
    found = ask({"/health": health, "/v1/models": (200, {"data": [CARD]})})
    assert (found.release, found.precision, found.slots, found.pid) == ("ab" * 32, "int8", 4, 7)


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        (
            {"/health": (200, {"status": "ok"}), "/v1/models": (401, {})},
            UsageError, "wants a token",
        ),
        (
            {"/health": (200, {}), "/v1/models": (200, {"data": [{"owned_by": "other"}]})},
            DeviceError, "is not `tinytx serve`",
        ),
        ({"/health": (404, "no"), "/v1/models": (404, [])}, DeviceError, "is not `tinytx serve`"),
        (
            {"/health": (503, {"status": "draining"}), "/v1/models": (200, {"data": [CARD]})},
            DeviceError, "takes no requests now: draining",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said(
    answers: dict[str, tuple[int, object]], error: type[TinytxError], says: str
) -> None:
    with pytest.raises(error, match=says):
        ask(answers)


def test_nobody_listening_is_an_error_of_the_device() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeviceError, match=r"no server answers .*: Connection refused") as error:
        asyncio.run(asked(Target("127.0.0.1", port), None, ours=False))
    assert error.value.exit_code == 10


def test_a_process_that_only_holds_the_port_is_not_taken_for_the_server() -> None:
    """A proxy in front of a container would be measured instead."""
    with socket.create_server(("127.0.0.1", 0)) as mine:
        assert listening_process(Target("127.0.0.1", mine.getsockname()[1])) is None


def test_the_server_is_found_by_its_port_and_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = " 0: 0100007F:2233 00000000:0000 0A 0:0 0:0 0 0 0 4242 1\n"
    (tmp_path / "net/tcp").write_text("head\n" + row)
    for number, words in ((10, b"docker-proxy\0"), (11, b"/x/bin/tinytx\0serve\0b\0")):
        (tmp_path / f"{number}/fd").mkdir(parents=True)
        (tmp_path / f"{number}/cmdline").write_bytes(words)
        (tmp_path / f"{number}/fd/3").symlink_to("socket:[4242]")
    assert listening_process(Target("127.0.0.1", 0x2233), tmp_path) == 11
    assert listening_process(Target("127.0.0.1", 0x2234), tmp_path) is None
    assert listening_process(Target("192.0.2.1", 0x2233), tmp_path) is None


def test_memory_is_of_the_process_and_unknown_without_one() -> None:
    here = Serving(address="", ours=True, pid=os.getpid(), release="", precision="")
    found = memory_of(here)
    assert found.trouble == "" and found.rss > 0 and found.peak > 0
    gone = Serving(address="", ours=True, pid=None, release="", precision="")
    assert memory_of(gone) == Memory(trouble="the server's process cannot be seen from here")
    assert ticks_of(os.getpid()) > 0 and ticks_of(None) == 0


@pytest.mark.parametrize(
    ("code", "exit_code", "says"),
    [
        ("import sys; sys.exit('tinytx: it is damaged')", 1, "it is damaged"),
        ("import os; os.abort()", 70, "ended with code -6"),
        ("raise SystemExit(9)", 9, "ended with code 9"),
    ],
)
def test_a_server_that_does_not_start_says_why_with_its_own_code(
    code: str, exit_code: int, says: str
) -> None:
    with (
        pytest.raises(TinytxError, match=says) as error,
        started(Path("b"), (), (sys.executable, "-c", code)),
    ):
        pass
    assert error.value.exit_code == exit_code
