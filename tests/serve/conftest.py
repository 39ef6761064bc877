"""A server that many tests share, and OpenAI's own client for it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.serve.process import Server, serving


@pytest.fixture(scope="session")
def server(tiny_bundle: Path) -> Iterator[Server]:
    """A real server of the tiny bundle; tests leave it as they found it."""
    with serving(tiny_bundle, "--slots", "8", "--waiting", "40") as running:
        yield running


@pytest.fixture(scope="session")
def context(tiny_bundle: Path) -> int:
    """Tokens that fit in the tiny model's context."""
    found: int = json.loads((tiny_bundle / "manifest.json").read_text())["model"]["max_seq_length"]
    return found


@pytest.fixture(scope="session")
def client_of() -> Callable[..., OpenAI]:
    """OpenAI's client for a server; it does not try again by itself."""

    def make(server: Server, token: str = "unused") -> OpenAI:
        return OpenAI(base_url=f"{server.address}/v1", api_key=token, max_retries=0, timeout=30.0)

    return make


@pytest.fixture
def client(server: Server, client_of: Callable[..., OpenAI]) -> Iterator[OpenAI]:
    with client_of(server) as made:
        yield made
