"""The application asked in this process, without a socket: any method, any headers."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytx.serve.app import build
from tinytx.serve.releases import Settings, load_model
from tinytx.serve.service import Limits, Service

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").split(";")[0]

    def json(self) -> Any:
        return json.loads(self.body)


class Inside:
    """Asks an application, in an event loop of its own."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self.service, self._runner = service, runner
        self._application = build(service)

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: Headers = ()
    ) -> Answer:
        return self._runner.run(self._ask(method, path, body or b"", headers))

    async def _ask(self, method: str, path: str, body: bytes, headers: Headers) -> Answer:
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the client stays
            return {}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": list(headers), "root_path": "", "client": ("127.0.0.1", 1),
            "server": ("x", 80),
        }  # fmt: skip
        async with asyncio.timeout(20):
            await self._application(scope, receive, send)
        assert sent[0]["type"] == "http.response.start" and not sent[-1].get("more_body")
        told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], told, b"".join(one.get("body", b"") for one in sent[1:]))


@contextmanager
def inside(folder: Path, *, slots: int = 4, waiting: int = 12, **told: Any) -> Iterator[Inside]:
    """Of a bundle; ``told`` is what the service is told besides."""
    model, _ = load_model(folder, Settings(slots=slots, waiting=waiting))
    service = Service(Limits(body_bytes=200_000), **told)
    service.model = model
    with asyncio.Runner() as runner:
        work = runner.get_loop().create_task(model.loop.run())
        yield Inside(service, runner)
        assert not work.done()
        assert (model.loop.running, model.loop.waiting) == (0, 0)
        work.cancel()
