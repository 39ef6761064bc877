"""A text and a web server on this machine that answers each path in its own way."""

import gzip
import http.server
import threading
from collections.abc import Iterator

import pytest

TEXT = "".join(f"Line {i} of a text that is long enough to split, señora.\n" for i in range(200))


class Handler(http.server.BaseHTTPRequestHandler):
    """``server.asked`` keeps path and headers of each request; ``server.failures`` counts down."""

    protocol_version = "HTTP/1.1"
    body = TEXT.encode()

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        getattr(self, "answer_" + self.path.strip("/").replace("-", "_").replace(".", "_"))()

    def begin(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def whole(self, body: bytes, **headers: object) -> None:
        self.begin(200, Content_Length=len(body), **headers)
        self.wfile.write(body)

    def fails(self) -> bool:
        """Whether this request is one of those that fail before the server recovers."""
        server: object = self.server
        server.failures -= 1  # type: ignore[attr-defined]
        return server.failures >= 0  # type: ignore[attr-defined, no-any-return]

    def answer_text(self) -> None:
        self.whole(self.body)

    def answer_no_length(self) -> None:
        self.begin(200, Connection="close")
        self.wfile.write(self.body)

    def answer_packed_gz(self) -> None:
        self.whole(gzip.compress(self.body))

    def answer_missing(self) -> None:
        self.begin(404, Content_Length=0)

    def answer_overloaded(self) -> None:
        self.begin(503, Content_Length=0)

    def answer_overloaded_for_a_while(self) -> None:
        if self.fails():
            self.begin(503, Content_Length=0, Retry_After=7)
        else:
            self.whole(self.body)

    def answer_truncated(self) -> None:
        self.begin(200, Content_Length=len(self.body) + 1_000)
        self.wfile.write(self.body)

    def answer_truncated_chunks(self) -> None:
        self.begin(200, Transfer_Encoding="chunked")
        self.wfile.write(b"1000\r\n" + self.body[:200])

    def answer_in_parts(self) -> None:
        """Breaks off after 3,000 bytes each time, and knows ranges of this one file."""
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == '"v1"':
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            end = len(self.body)
            about = f"bytes {start}-{end - 1}/{end}"
            self.begin(206, Content_Length=end - start, Content_Range=about, ETag='"v1"')
            self.wfile.write(self.body[start : start + 3_000])
        else:
            self.begin(200, Content_Length=len(self.body), ETag='"v1"')
            self.wfile.write(self.body[:3_000])

    def answer_changes(self) -> None:
        """Breaks off once; then the file is another one, which is sent whole."""
        if self.fails():
            self.begin(200, Content_Length=len(self.body), ETag='"old"')
            self.wfile.write(b"OLD " * 500)
        else:
            self.whole(self.body, ETag='"new"')

    def answer_no_ranges(self) -> None:
        if self.fails():
            self.begin(200, Content_Length=len(self.body))
            self.wfile.write(self.body[:3_000])
        else:
            assert "Range" not in self.headers
            self.whole(self.body)

    def answer_wrong_part(self) -> None:
        if self.headers.get("Range"):
            about = f"bytes 5-9/{len(self.body)}"
            self.begin(206, Content_Length=5, Content_Range=about, ETag='"v1"')
            self.wfile.write(self.body[5:10])
        elif self.fails():
            self.begin(200, Content_Length=len(self.body), ETag='"v1"')
            self.wfile.write(self.body[:3_000])
        else:
            self.whole(self.body)

    def answer_shrunk(self) -> None:
        if self.headers.get("Range"):
            self.begin(416, Content_Length=0)
        elif self.fails():
            self.begin(200, Content_Length=len(self.body), ETag='"v1"')
            self.wfile.write(self.body[:3_000])
        else:
            self.whole(self.body)

    def part(self, start: int, end: int, total: object, **headers: object) -> None:
        """Bytes ``start`` to ``end`` of the file, called a part of ``total``."""
        about = f"bytes {start}-{end - 1}/{total}"
        self.begin(206, Content_Length=end - start, Content_Range=about, **headers)
        self.wfile.write(self.body[start:end])

    def broken_off(self, etag: str = '"v1"') -> None:
        self.begin(200, Content_Length=len(self.body), ETag=etag)
        self.wfile.write(self.body[:3_000])

    def rest_or_whole(self, total: object, **headers: object) -> None:
        """Breaks off once, then sends the rest as a part of ``total``; else the whole."""
        if self.headers.get("Range"):
            self.part(3_000, len(self.body), total, **headers)
        elif self.fails():
            self.broken_off()
        else:
            self.whole(self.body, ETag='"v1"')

    def answer_part_of_a_shorter_file(self) -> None:
        """What remains of a file that was cut meanwhile, by a server that ignores If-Range."""
        if self.headers.get("Range"):
            self.part(3_000, 4_000, 4_000)
        elif self.fails():
            self.broken_off()
        else:
            self.whole(self.body)

    def answer_part_of_a_longer_file(self) -> None:
        self.rest_or_whole(len(self.body) + 7, ETag='"v1"')

    def answer_part_of_a_changed_file(self) -> None:
        self.rest_or_whole(len(self.body), ETag='"v2"')

    def answer_part_of_a_later_file(self) -> None:
        """The same with dates."""
        dates = [f"Sat, 0{day} Aug 2026 00:00:00 GMT" for day in (1, 2)]
        if self.headers.get("Range"):
            self.part(3_000, len(self.body), len(self.body), Last_Modified=dates[1])
        elif self.fails():
            self.begin(200, Content_Length=len(self.body), Last_Modified=dates[0])
            self.wfile.write(self.body[:3_000])
        else:
            self.whole(self.body)

    def answer_part_of_unknown_size(self) -> None:
        self.rest_or_whole("*", ETag='"v1"')

    def answer_part_of_unknown_size_all_along(self) -> None:
        """Neither the first answer nor the part says how long the file is."""
        if self.headers.get("Range"):
            self.part(3_000, 4_000, "*")
        elif self.fails():
            self.begin(200, Transfer_Encoding="chunked", ETag='"v1"')
            self.wfile.write(b"bb8\r\n" + self.body[:3_000] + b"\r\n")
        else:
            self.whole(self.body)

    def answer_small_parts(self) -> None:
        """Breaks off once, then sends no more than 2,500 bytes at a time."""
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            size = len(self.body)
            self.part(start, min(start + 2_500, size), size, ETag='"v1"')
        else:
            self.broken_off()

    def answer_part_unasked(self) -> None:
        self.part(0, 3_000, 3_000)

    def answer_never_twice_the_same(self) -> None:
        if self.headers.get("Range"):
            self.part(3_000, 4_000, 4_000)
        else:
            self.broken_off()

    def answer_portal(self) -> None:
        """A login page in the place of the text, after part of it has come."""
        if self.fails():
            self.broken_off()
        else:
            self.whole(b"<p>Log in.</p>" * 300, Content_Type="text/html; charset=utf-8")

    def answer_page_called_text(self) -> None:
        page = b"<!doctype HTML>\n<html><body>Log in.</body></html>" + b"\n" * 3_000
        self.whole(page, Content_Type="text/plain")

    def answer_moved_to_ftp(self) -> None:
        self.begin(302, Location="ftp://127.0.0.1/text", Content_Length=0)

    def answer_forbidden(self) -> None:
        self.begin(403, Content_Length=0)

    def answer_gone(self) -> None:
        self.begin(410, Content_Length=0)

    def answer_not_implemented(self) -> None:
        self.begin(501, Content_Length=0)

    def answer_login_required(self) -> None:
        self.begin(511, Content_Length=0)

    def answer_early(self) -> None:
        if self.fails():
            self.begin(425, Content_Length=0)
        else:
            self.whole(self.body)

    def answer_huge(self) -> None:
        self.begin(200, Content_Length=10**15)
        self.wfile.write(self.body)

    def answer_moved(self) -> None:
        self.begin(302, Location="/text", Content_Length=0)

    def answer_moved_to_a_file(self) -> None:
        self.begin(302, Location="file:///etc/hostname", Content_Length=0)

    def answer_circle(self) -> None:
        self.begin(302, Location="/circle", Content_Length=0)

    def answer_nonsense(self) -> None:
        self.wfile.write(b"good evening\r\n\r\n")

    def answer_silence(self) -> None:
        pass

    def answer_binary(self) -> None:
        self.whole(bytes(3_000))

    def answer_empty(self) -> None:
        self.whole(b"")

    def answer_stalled(self) -> None:
        self.begin(200, Content_Length=len(self.body))
        self.wfile.write(self.body[:100])
        self.server.released.wait(30)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.failures = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.released.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def text() -> str:
    """What the server serves."""
    return TEXT
