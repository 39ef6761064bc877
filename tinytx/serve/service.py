"""What all requests share: the model that answers now, the limits, and who is being served."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tinytx.serve.forms import Refused
from tinytx.serve.metrics import Metrics
from tinytx.serve.model import Model
from tinytx.serve.requests import RequestError
from tinytx.wording import counted

LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]", ""}
"""A page whose own name was made to point here (DNS rebinding) asks by that name; HTTP/1.0 by
none."""


State = Literal["ok", "draining", "empty", "refused", "loading"]
WHY: dict[State, str] = {
    "draining": "the server is shutting down",
    "empty": "no release is there yet",
    "refused": "the only release cannot be served here",
    "loading": "the model is being loaded",
}
"""A request finds no model."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may take of the server."""

    body_bytes: int = 1_000_000
    body_seconds: float = 10.0
    """For the whole body to arrive."""
    request_seconds: float = 300.0
    """From the request to the last token; 0 is for ever."""
    write_seconds: float = 30.0
    """A reader who takes nothing for so long is let go."""
    per_client: int = 0
    """Requests of one address at a time; 0 is any number."""


class Service:
    """What the routes share: the model that answers now, and the state of the server."""

    def __init__(
        self,
        limits: Limits,
        token: str = "",
        *,
        local: bool = False,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """``token``: who asks must show it, if it is not empty. ``local``: who asks must call the
        server by a name of this machine (:data:`LOCAL_NAMES`). ``origins``: of other sites whose
        pages may ask."""
        self.limits, self.token, self.local, self.origins = limits, token, local, origins
        self.model: Model | None = None
        self.metrics = Metrics(lambda: self.model)
        self.draining = False
        self.empty = False
        """Whether there is nothing to serve: no release is current in the store."""
        self.refused: Refused | None = None
        """The newest release, where it is not the one that is served, and why."""
        self.clients: Counter[str] = Counter()

    def current(self) -> Model:
        """The model, or :class:`RequestError` with status 503."""
        if self.model is None or self.draining:
            raise unavailable(WHY[self.state])
        return self.model

    @property
    def state(self) -> State:
        if self.draining:
            return "draining"
        if self.model is not None:
            return "ok"
        return "empty" if self.empty else "refused" if self.refused else "loading"

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Count a request of an address. Raises :class:`RequestError` for one too many."""
        if self.limits.per_client and self.clients[client] >= self.limits.per_client:
            most = counted(self.limits.per_client, "request")
            raise too_many(f"one address may have {most} at a time")
        self.clients[client] += 1
        try:
            yield
        finally:
            self.clients[client] -= 1
            if not self.clients[client]:
                del self.clients[client]

    def deadline(self) -> float:
        seconds = self.limits.request_seconds
        return time.monotonic() + seconds if seconds else float("inf")


def unavailable(why: str) -> RequestError:
    return RequestError(why, status=503, kind="service_unavailable", code="unavailable")


def too_many(why: str) -> RequestError:
    return RequestError(why, status=429, kind="rate_limit_error", code="rate_limit_exceeded")
