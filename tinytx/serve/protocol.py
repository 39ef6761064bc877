"""HTTP/1.1 as uvicorn speaks it, with less patience: what it leaves open is closed here."""

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from tinytx.serve import answers
from tinytx.serve.requests import RequestError
from tinytx.serve.service import too_many

MOST_BEHIND = 65_536
"""Bytes of further requests that wait on a connection while one is answered."""


class Impatient(H11Protocol):
    """uvicorn's HTTP/1.1, but a connection that no request comes on, or no answer leaves by, is
    closed. uvicorn's own timer waits only between requests, and ends at the first byte."""

    most = 1_000
    """Connections at a time. Each takes a descriptor, and without one no release can be read."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._unsent = 0
        self._wait()
        if len(self.connections) > self.most:
            self._turn_away("503 Service Unavailable", too_many("too many connections are open"))

    def data_received(self, data: bytes) -> None:
        """What comes behind a request whose answer is not out waits for it, within a limit. More is
        read and thrown away, since only who reads hears that a client has gone; the connection
        ends with the answer that is under way, and those of later requests are not made."""
        if self._answering and self.cycle.keep_alive:
            waiting, _ = self.conn.trailing_data
            self.cycle.keep_alive = len(waiting) + len(data) <= MOST_BEHIND
        if not self._answering or self.cycle.keep_alive:
            super().data_received(data)

    @property
    def _answering(self) -> bool:
        """Whether a request is there to its last byte, and its answer is not."""
        cycle = self.cycle
        return cycle is not None and not (cycle.more_body or cycle.response_complete)

    def handle_events(self) -> None:
        super().handle_events()
        if self._answering:  # uvicorn reads no more when there is more than the request
            self.flow.resume_reading()
        if self.cycle is not None and not self.cycle.response_complete:
            self._silent.cancel()
            told: dict[str, Any] = self.scope  # type: ignore[assignment]
            told["tinytx.abort"] = self.transport.abort
            told["tinytx.unsent"] = self.transport.get_write_buffer_size

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had asked for no other protocol, which is allowed;
        uvicorn would advise to install more of itself."""

    def on_response_complete(self) -> None:
        self._silent.cancel()
        if not self.transport.is_closing():
            self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn lets its own timer run on after a reset, and with it all that a connection holds.
        for timer in (self._silent, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the interface's form, unless an answer has begun."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._turn_away("400 Bad Request", RequestError(msg.rstrip(".").lower()))
        self.transport.close()

    def _turn_away(self, status: str, why: RequestError) -> None:
        body = answers.dump(answers.error(why))
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _wait(self) -> None:
        seconds = self.config.timeout_keep_alive
        self._silent = self.loop.call_later(seconds, self._out_of_patience)

    def _out_of_patience(self) -> None:
        """Nothing came; but a long answer may still be on its way to a slow reader."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if self._unsent and (before == 0 or self._unsent < before):
            self._wait()
        else:
            self.transport.abort()
