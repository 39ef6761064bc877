"""The next release is taken between two requests, or not at all."""

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.damage import canonical, seal
from tests.serve.process import Server, serving, serving_slowly

PROMPT = {"prompt": "The river", "max_tokens": 30, "temperature": 0}


@pytest.fixture
def releases(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Three releases and a link to the first: ``old``, ``new`` of another run, ``bad`` whose golden
    outputs are not those of its model."""
    for name in ("old", "new", "bad"):
        shutil.copytree(tiny_bundle, tmp_path / name)
    reseal(tmp_path / "new", lambda manifest: manifest["provenance"].update(run_id="another"))
    golden = tmp_path / "bad" / "golden.json"
    document = json.loads(golden.read_bytes())
    for case in document["cases"]:
        case["tokens"] = [(token + 1) % 300 for token in case["tokens"]]
    golden.write_bytes(canonical(document))
    reseal(tmp_path / "bad", told_of(golden))
    (tmp_path / "current").symlink_to("old")
    return tmp_path


def told_of(file: Path) -> Callable[[dict[str, Any]], None]:
    """Give the manifest the right size and hash of a file."""
    data = file.read_bytes()
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return lambda manifest: manifest["files"].update({file.name: facts})


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_bytes(seal(manifest))


def name_of(folder: Path) -> str:
    found: str = json.loads((folder / "manifest.json").read_bytes())["id"]
    return found


def switch(releases: Path, name: str, server: Server) -> None:
    """Make ``current`` the release of that name, and tell the server."""
    link = releases / "next"
    link.symlink_to(name)
    link.replace(releases / "current")
    server.process.send_signal(signal.SIGHUP)


def health(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.ask("/health")[1]
    return found


def wait_until(server: Server, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 30
    while not holds(found := health(server)):
        assert time.monotonic() < end, (found, server.said)
        time.sleep(0.05)
    return found


@pytest.fixture
def server(releases: Path) -> Iterator[Server]:
    with serving(releases / "current", "--slots", "4") as running:
        yield running


def test_a_new_release_is_taken_and_no_request_fails(releases: Path, server: Server) -> None:
    assert health(server)["release"] == name_of(releases / "old")
    switch(releases, "new", server)
    models = set()
    while health(server)["release"] != name_of(releases / "new"):
        status, answer, _ = server.ask("/v1/completions", PROMPT)
        assert status == 200
        models.add(answer["model"])
    status, answer, _ = server.ask("/v1/completions", PROMPT)
    assert (status, answer["model"]) == (200, f"tinytx-{name_of(releases / 'new')[:12]}")
    assert models <= {f"tinytx-{name_of(releases / name)[:12]}" for name in ("old", "new")}


def test_a_release_that_computes_something_else_is_not_taken(
    releases: Path, server: Server
) -> None:
    switch(releases, "bad", server)
    found = wait_until(server, lambda found: bool(found["problem"]))
    assert found["status"] == "ok"
    assert found["release"] == name_of(releases / "old")
    assert "/" not in found["problem"]  # whoever asks learns no folder
    server.wait_for("does not reproduce its golden outputs")
    assert server.ask("/v1/completions", PROMPT)[0] == 200
    switch(releases, "new", server)
    found = wait_until(server, lambda found: found["release"] != name_of(releases / "old"))
    assert found["problem"] is None


@pytest.mark.long
def test_a_text_under_way_ends_on_the_model_it_began_with(releases: Path) -> None:
    body = json.dumps({**PROMPT, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: [::1]\r\ncontent-length: {len(body)}\r\n\r\n"
    slowly = serving_slowly(releases / "current", 0.05, {"slots": 2})
    with slowly as server, server.connect() as stream:
        stream.sendall(head.encode() + body)
        assert stream.recv(20).startswith(b"HTTP/1.1 200")
        switch(releases, "new", server)
        wait_until(server, lambda found: found["release"] == name_of(releases / "new"))
        text = b""
        while not text.endswith(b"0\r\n\r\n"):
            text += stream.recv(65_536)
    old, new = (f"tinytx-{name_of(releases / name)[:12]}".encode() for name in ("old", "new"))
    assert b"[DONE]" in text
    assert text.count(old) > 3
    assert new not in text
