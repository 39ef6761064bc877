"""Texts from files and addresses: what is refused, what is cleaned, what is kept."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError
from tinytx.train.corpus import source
from tinytx.train.corpus.source import decode_text, download, obtain, own_bits_per_byte, read_text
from tinytx.train.progress import Reporter

TEXT = "".join(f"Line {i} of a text that is long enough to split, señora.\n" for i in range(200))


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def from_file(path: Path, **more: object) -> source.SplitCorpus:
    return obtain(CorpusSettings(path=str(path), **more), Reporter())


def test_a_text_file_is_split_and_nothing_of_it_lost(tmp_path: Path) -> None:
    corpus = from_file(write(tmp_path / "text", TEXT))
    assert sorted((corpus.train + corpus.val).splitlines()) == sorted(TEXT.splitlines())
    assert corpus.source == str(tmp_path / "text")
    assert corpus.val_information_bits is None
    assert 0.05 < len(corpus.val) / len(TEXT) < 0.2


def test_with_a_validation_file_nothing_is_held_out(tmp_path: Path) -> None:
    text, val = write(tmp_path / "text", TEXT), write(tmp_path / "val", "short is fine\n")
    corpus = from_file(text, val_path=str(val))
    assert (corpus.train, corpus.val) == (TEXT, "short is fine\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot read the corpus: No such file .*nowhere\.txt"):
        from_file(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    "data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n", "\u00a0\u2003\n".encode()]
)
def test_an_empty_or_blank_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorpusError, match="text is empty"):
        from_file(write(tmp_path / "text", data))
    good = write(tmp_path / "good", TEXT)
    with pytest.raises(CorpusError, match="text is empty"):
        from_file(good, val_path=str(tmp_path / "text"))


def test_a_binary_file_is_refused_with_the_place_of_its_zero_byte(tmp_path: Path) -> None:
    data = b"a" * 1_234 + b"\0" + b"a" * 5_000
    with pytest.raises(CorpusError, match="zero byte at offset 1,234"):
        from_file(write(tmp_path / "text", data))


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize(
    ("bad", "named"), [(b"caf\xe9 con leche", "0xe9"), (b"\xff", "0xff"), (b"\xc3", "0xc3")]
)
def test_text_that_is_not_utf8_is_refused_with_the_byte_and_its_offset(
    tmp_path: Path, bad: bytes, named: str, bom: bytes
) -> None:
    head = bom + "señora ".encode() * 300
    data = head + bad
    offset = data.index(bytes([int(named, 16)]), len(head))
    words = f"not UTF-8: byte {named} at offset {offset:,}"
    with pytest.raises(CorpusError, match=words) as caught:
        from_file(write(tmp_path / "text", data))
    assert "iconv" in caught.value.remedy


def test_a_byte_order_mark_is_stripped_and_line_ends_are_one_newline() -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\rthree\n\r\nfour \xef\xbb\xbf"
    assert decode_text(data, "x") == "one\ntwo\nthree\n\nfour \ufeff"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is a folder; a corpus is one text file"):
        read_text(tmp_path)


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LARGEST_TEXT", 1_000)
    with pytest.raises(CorpusError, match="larger than 1,000 bytes"):
        from_file(write(tmp_path / "text", TEXT))


def test_a_text_that_is_too_short_to_split_is_refused_with_its_size(tmp_path: Path) -> None:
    short = write(tmp_path / "text", TEXT[:1_900])
    size = short.stat().st_size
    assert size < source.SHORTEST_TEXT
    with pytest.raises(CorpusError, match=f"too short to split: {size:,} bytes") as caught:
        from_file(short)
    assert "--val-path" in caught.value.remedy
    assert from_file(short, val_path=str(short)).val == TEXT[:1_900]  # the remedy works


def test_the_built_in_corpus_may_have_a_validation_file(tmp_path: Path) -> None:
    val = write(tmp_path / "val", TEXT)
    corpus = obtain(
        CorpusSettings(train_bytes=20_000, val_bytes=4_000, val_path=str(val)), Reporter()
    )
    assert corpus.val == TEXT
    assert corpus.val_information_bits is None
    assert len(corpus.train.encode()) >= 20_000


def test_the_texts_own_information_is_read_where_it_is_known(tmp_path: Path) -> None:
    facts = tmp_path / "corpus.json"
    assert own_bits_per_byte(facts) is None
    for text, expected in (
        ('{"val_information_bits": 80.0, "val_bytes": 100}', 0.8),
        ('{"val_information_bits": null, "val_bytes": 100}', None),
        ("[]", None),
        ("{", None),
    ):
        assert own_bits_per_byte(write(facts, text)) == expected


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path in its own way."""

    protocol_version = "HTTP/1.1"
    body = TEXT.encode()

    def do_GET(self) -> None:
        self.close_connection = True
        getattr(self, "answer_" + self.path.strip("/").replace("-", "_"))()

    def begin(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def answer_text(self) -> None:
        self.begin(200, Content_Length=len(self.body))
        self.wfile.write(self.body)

    def answer_no_length(self) -> None:
        self.begin(200, Connection="close")
        self.wfile.write(self.body)

    def answer_missing(self) -> None:
        self.begin(404, Content_Length=0)

    def answer_overloaded(self) -> None:
        self.begin(503, Content_Length=0)

    def answer_truncated(self) -> None:
        self.begin(200, Content_Length=len(self.body) + 1_000)
        self.wfile.write(self.body)

    def answer_truncated_chunks(self) -> None:
        self.begin(200, Transfer_Encoding="chunked")
        self.wfile.write(b"1000\r\n" + self.body[:200])

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
        self.begin(200, Content_Length=3_000)
        self.wfile.write(bytes(3_000))

    def answer_empty(self) -> None:
        self.begin(200, Content_Length=0)

    def answer_stalled(self) -> None:
        self.begin(200, Content_Length=len(self.body))
        self.wfile.write(self.body[:100])
        self.server.released.wait(30)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.released.set()  # type: ignore[attr-defined]
    made.shutdown()
    made.server_close()
    thread.join()


Fetch = Callable[[str], source.SplitCorpus]


@pytest.fixture
def fetch(server: str) -> Fetch:
    return lambda path: obtain(CorpusSettings(url=f"{server}/{path}"), Reporter())


@pytest.mark.parametrize("path", ["text", "no-length", "moved"])
def test_a_text_is_downloaded_whole_also_without_a_length_or_by_a_redirect(
    fetch: Fetch, path: str
) -> None:
    corpus = fetch(path)
    assert sorted((corpus.train + corpus.val).splitlines()) == sorted(TEXT.splitlines())
    assert corpus.source.endswith(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing", "answered 404 Not Found"),
        ("overloaded", "answered 503 Service Unavailable"),
        ("truncated", r"truncated broke off after [\d,]+ of [\d,]+ bytes|IncompleteRead"),
        ("truncated-chunks", "cannot download .*IncompleteRead"),
        ("moved-to-a-file", "answered 302"),
        ("circle", "answered 302"),
        ("nonsense", "cannot download .*good evening"),
        ("silence", "cannot download .*closed connection without response"),
        ("binary", "zero byte at offset 0"),
        ("empty", "is empty"),
    ],
)
def test_an_answer_that_is_no_whole_text_is_refused(fetch: Fetch, path: str, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        fetch(path)


def test_a_truncated_download_is_refused_with_both_sizes(fetch: Fetch) -> None:
    with pytest.raises(CorpusError) as caught:
        fetch("truncated")
    size = len(TEXT.encode())
    assert f"{size:,} of {size + 1_000:,} bytes" in caught.value.message


def test_a_server_that_stalls_is_given_up(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(CorpusError, match=r"cannot download .*timed out"):
        fetch("stalled")


def test_a_download_that_is_too_large_is_given_up(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LARGEST_TEXT", 1_000)
    with pytest.raises(CorpusError, match="larger than 1,000 bytes"):
        fetch("no-length")


def test_the_progress_of_a_download_is_told(server: str) -> None:
    told: list[tuple[int, int | None]] = []

    class Listening(Reporter):
        def download(self, done: int, total: int | None) -> None:
            told.append((done, total))

    size = len(download(f"{server}/text", Listening()))
    assert told[-1] == (size, size)
    download(f"{server}/no-length", Listening())
    assert told[-1] == (size, None)


@pytest.mark.parametrize("url", ["ftp://example.org/x", "/a/path", "text.txt", "javascript:1", ""])
def test_an_unsupported_scheme_is_refused(url: str) -> None:
    with pytest.raises(CorpusError, match="must begin with http://, https:// or file://"):
        download(url, Reporter())


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://127.0.0.1:port/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://127.0.0.1/\x00",
        "file:///nowhere/at/all",
        "file:///proc",
    ],
)
def test_an_address_that_leads_nowhere_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    with pytest.raises(CorpusError, match="cannot download") as caught:
        download(url, Reporter())
    assert "--corpus-path" in caught.value.remedy


def test_a_refused_connection_is_a_corpus_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(CorpusError, match="Connection refused"):
        download(f"http://127.0.0.1:{port}/text", Reporter())


def test_a_file_address_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "text", TEXT)
    assert download(path.as_uri(), Reporter()) == TEXT.encode()
