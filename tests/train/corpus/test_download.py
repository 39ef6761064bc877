"""Downloads: whole, in parts, again, and refused."""

import errno
import hashlib
import http.server
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus import archives as texts
from tinytx.train.corpus import download as module
from tinytx.train.corpus.download import Download, fetch, target_in
from tinytx.train.progress import Reporter

Get = Callable[..., bytes]


class Listening(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int | None]] = []
        self.notes: list[str] = []

    def download(self, done: int, total: int | None) -> None:
        self.told.append((done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(module.time, "sleep", made.append)
    return made


@pytest.fixture
def get(server: Any, tmp_path: Path) -> Get:
    def one(path: str, reporter: Reporter | None = None, sha256: str | None = None) -> bytes:
        url = f"{server.url}/{path}"
        download = Download(url, target_in(tmp_path, url), sha256)
        return fetch(download, reporter or Reporter()).read_bytes()

    return one


@pytest.mark.parametrize("path", ["text", "no-length", "moved"])
def test_a_file_is_received_whole_also_without_a_length_or_by_a_redirect(
    get: Get, text: str, path: str
) -> None:
    assert get(path) == text.encode()


def test_a_download_that_breaks_off_goes_on_where_it_was(
    get: Get, server: Any, text: str, pauses: list[float]
) -> None:
    assert get("in-parts") == text.encode()
    ranges = [headers.get("Range") for _, headers in server.asked]
    size = len(text.encode())
    assert ranges == [None, *(f"bytes={n}-" for n in range(3_000, size, 3_000))]
    assert set(pauses) == {module.PAUSES_SECONDS[0]}  # it got on each time


def test_a_later_run_goes_on_with_what_an_earlier_one_received(
    get: Get, server: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES_AT_MOST", 2)
    with pytest.raises(CorpusError, match="broke off 2 times") as caught:
        get("in-parts")
    assert "goes on where this one ended" in caught.value.remedy
    monkeypatch.setattr(module, "TRIES_AT_MOST", 20)
    assert get("in-parts") == text.encode()
    assert server.asked[2][1]["Range"] == "bytes=6000-"


def test_a_file_that_changed_meanwhile_is_received_anew(get: Get, server: Any, text: str) -> None:
    server.failures = 1
    assert get("changes") == text.encode()
    assert server.asked[1][1]["If-Range"] == '"old"'


@pytest.mark.parametrize("path", ["no-ranges", "wrong-part", "shrunk"])
def test_a_server_that_cannot_send_the_rest_sends_it_whole(
    get: Get, server: Any, text: str, path: str
) -> None:
    server.failures = 1
    assert get(path) == text.encode()


@pytest.mark.parametrize(
    "path",
    [
        "part-of-a-shorter-file",
        "part-of-a-longer-file",
        "part-of-a-changed-file",
        "part-of-a-later-file",
        "part-of-unknown-size-all-along",
    ],
)
def test_a_part_of_another_file_is_thrown_away_and_the_file_received_anew(
    get: Get, server: Any, text: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 1_000)
    server.failures = 1
    assert get(path) == text.encode()
    assert [headers.get("Range") for _, headers in server.asked] == [None, "bytes=3000-", None]


def test_a_part_that_does_not_name_the_total_is_judged_by_the_first_answers(
    get: Get, server: Any, text: str
) -> None:
    server.failures = 1
    assert get("part-of-unknown-size") == text.encode()
    assert len(server.asked) == 2


def test_a_server_that_sends_less_than_the_rest_is_asked_for_the_rest_of_it(
    get: Get, server: Any, text: str
) -> None:
    assert get("small-parts") == text.encode()
    size = len(text.encode())
    assert len(server.asked) == 1 + -(-(size - 3_000) // 2_500)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("part-unasked", "sent another part than was asked for"),
        ("never-twice-the-same", "a part of a file of 4,000 bytes; it had "),
    ],
)
def test_a_server_that_never_sends_the_file_is_given_up_and_leaves_no_corpus(
    get: Get, tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(CorpusError, match=words) as caught:
        get(path)
    assert caught.value.exit_code == 2
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".part", ".json")]


def test_a_login_page_is_refused_and_what_had_arrived_is_kept(
    get: Get, server: Any, text: str, tmp_path: Path
) -> None:
    server.failures = 1
    with pytest.raises(CorpusError, match=r"answered with a web page \(text/html\)") as caught:
        get("portal")
    assert "log in and try again" in caught.value.remedy
    assert len(server.asked) == 2
    (part,) = tmp_path.glob("*.part")
    assert part.read_bytes() == text.encode()[:3_000]


def test_a_file_that_is_empty_is_not_kept(get: Get, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is empty"):
        get("empty")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_is_called_text_is_refused_and_not_kept(get: Get, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="answered with a web page, not with a text"):
        get("page-called-text")
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_ftp_is_not_followed(get: Get, server: Any) -> None:
    with pytest.raises(CorpusError, match=r"leads on to ftp://127\.0\.0\.1/text, which is not"):
        get("moved-to-ftp")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("forbidden", 403), ("gone", 410), ("not-implemented", 501), ("login-required", 511)],
)
def test_an_error_that_stays_is_not_asked_for_again(
    get: Get, server: Any, pauses: list[float], path: str, code: int
) -> None:
    with pytest.raises(CorpusError, match=f"answered {code}"):
        get(path)
    assert len(server.asked) == 1
    assert pauses == []


def test_a_server_that_says_too_early_is_asked_again(get: Get, server: Any, text: str) -> None:
    server.failures = 1
    assert get("early") == text.encode()


def test_a_server_that_recovers_is_asked_again_after_the_time_that_it_wished(
    get: Get, server: Any, text: str, pauses: list[float]
) -> None:
    server.failures = 2
    reporter = Listening()
    assert get("overloaded-for-a-while", reporter) == text.encode()
    assert pauses == [7.0, 7.0]
    assert "503 Service Unavailable; trying again in 7 s" in reporter.notes[0]


def test_a_server_that_does_not_recover_is_given_up_after_growing_pauses(
    get: Get, pauses: list[float]
) -> None:
    with pytest.raises(CorpusError, match="503"):
        get("overloaded")
    assert pauses == list(module.PAUSES_SECONDS)


def test_a_second_call_does_not_ask_the_network(get: Get, server: Any, text: str) -> None:
    get("text")
    reporter = Listening()
    assert get("text", reporter) == text.encode()
    assert len(server.asked) == 1
    assert "downloaded before" in reporter.notes[0]


def test_a_checksum_is_checked_and_a_wrong_file_forgotten(
    get: Get, text: str, tmp_path: Path
) -> None:
    right = hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(CorpusError, match=f"its sha256 is {right}, not {'0' * 64}"):
        get("text", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    assert get("text", sha256=right) == text.encode()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing", "answered 404 Not Found"),
        ("truncated", r"truncated broke off|answered 200"),
        ("truncated-chunks", "cannot download .*IncompleteRead"),
        ("moved-to-a-file", "answered 302"),
        ("circle", "answered 302"),
        ("nonsense", "cannot download .*good evening"),
        ("silence", "cannot download .*closed connection without response"),
        ("huge", "larger than 2,000,000,000 bytes"),
    ],
)
def test_an_answer_that_is_no_whole_file_is_refused(
    get: Get, tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        get(path)
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".part", ".json")]


def test_a_client_error_is_not_tried_again(get: Get, server: Any) -> None:
    with pytest.raises(CorpusError):
        get("missing")
    assert len(server.asked) == 1


def test_a_server_that_stalls_is_given_up(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(module, "PAUSES_SECONDS", (0.0,))
    with pytest.raises(CorpusError, match=r"cannot download .*timed out"):
        get("stalled")


def test_a_download_that_grows_too_large_is_given_up(
    get: Get, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(texts, "LARGEST_TEXT", 1_000)
    with pytest.raises(CorpusError, match="larger than 1,000 bytes"):
        get("no-length")
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_with_the_total_where_it_is_known(get: Get, text: str) -> None:
    size = len(text.encode())
    for path, total in (("text", size), ("no-length", None), ("in-parts", size)):
        reporter = Listening()
        get(path, reporter)
        assert reporter.told[-1] == (size, total)


@pytest.mark.parametrize("url", ["ftp://example.org/x", "/a/path", "text.txt", "javascript:1", ""])
def test_an_unsupported_scheme_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="must begin with http://, https:// or file://"):
        fetch(Download(url, target_in(tmp_path, url)), Reporter())


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://127.0.0.1:port/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://127.0.0.1/\x00",
        "http://127.0.0.1/caf\udce9",
        "file:///nowhere/caf\udce9",
        "file:///nowhere/at/all",
        "file:///proc",
    ],
)
def test_an_address_that_leads_nowhere_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    with pytest.raises(CorpusError, match=r"cannot download|cannot read|is a folder"):
        fetch(Download(url, target_in(tmp_path, url)), Reporter())
    assert pauses == []  # none of these would go otherwise a second time


def test_a_refused_connection_is_a_corpus_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    with pytest.raises(CorpusError, match="Connection refused") as caught:
        fetch(Download(f"http://127.0.0.1:{port}/text", tmp_path / "x"), Reporter())
    assert "--corpus-path" in caught.value.remedy


def test_a_file_address_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a text"
    path.write_bytes(b"words")
    for url in (path.as_uri(), path.as_uri().replace("file://", "file://localhost")):
        assert fetch(Download(url, tmp_path / "x"), Reporter()).read_bytes() == b"words"


@pytest.mark.parametrize("host", ["otherhost", "127.0.0.1", "me@localhost", "localhost:80"])
def test_a_file_address_on_another_machine_is_refused_though_the_path_exists_here(
    tmp_path: Path, host: str
) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"words")
    with pytest.raises(CorpusError, match="names a file on another machine"):
        fetch(Download(f"file://{host}{path}", tmp_path / "x"), Reporter())


def test_a_wrong_certificate_and_an_unknown_name_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    for cause in (
        ssl.SSLCertVerificationError(1, "self-signed certificate"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        OSError("Tunnel connection failed: 403 Forbidden"),
    ):
        fail_with(monkeypatch, urllib.error.URLError(cause))
        with pytest.raises(CorpusError, match=r"cannot download http://example\.org/text: "):
            fetch(Download("http://example.org/text", tmp_path / "x"), Reporter())
        assert pauses == []


def test_a_network_that_is_down_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    causes = (
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    )
    for error in (*map(urllib.error.URLError, causes), ConnectionResetError(104, "reset")):
        fail_with(monkeypatch, error)
        with pytest.raises(CorpusError, match=r"cannot download http://example\.org/text: "):
            fetch(Download("http://example.org/text", tmp_path / "x"), Reporter())
        assert pauses == list(module.PAUSES_SECONDS)
        pauses.clear()


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every request ends with ``error``."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fail)


@pytest.mark.parametrize(
    "url",
    ["http://a.org/b/c.txt?x=../../y", "http://a.org/..", "http://a.org/", "http://a.org/ñ/%2e"],
)
def test_a_downloads_name_stays_in_its_folder(url: str, tmp_path: Path) -> None:
    target = target_in(tmp_path, url)
    assert target.resolve().parent == tmp_path.resolve()
    assert target_in(tmp_path, url + "2") != target
