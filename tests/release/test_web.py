"""One question to a server: bounded in silence, in whole and in bytes, whatever the server does."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.keys import typed
from tests.release.site import Site, serving
from tinytx.errors import BundleError, DeviceError
from tinytx.release import web
from tinytx.release.web import Unfinished, Web


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "small").write_bytes(b"0123456789")
    with serving(tmp_path) as running:
        yield running


def read(asker: Web, url: str, limit: int = 1000, seconds: float = 10.0) -> bytes:
    with asker.ask(url, {}, seconds) as answer:
        return web.bounded(answer, url, limit)


def test_an_answer_is_read_and_counted(site: Site) -> None:
    asker = Web()
    assert read(asker, f"{site.address}/small") == b"0123456789"
    assert (asker.requests, asker.received) == (1, 10)


@pytest.mark.parametrize("lengths", [True, False])
def test_a_body_that_is_too_long_is_not_read_on(site: Site, lengths: bool) -> None:
    site.lengths = lengths
    asker = Web()
    with pytest.raises(BundleError, match="larger than it may be"):
        read(asker, f"{site.address}/small", limit=9)
    assert asker.received <= 10


def test_an_endless_body_is_left_at_its_limit(site: Site) -> None:
    site.endless = "small"
    asker = Web()
    with pytest.raises(BundleError, match="larger than it may be"):
        read(asker, f"{site.address}/small", limit=100_000)
    assert asker.received == 100_001


def test_a_body_that_breaks_off_is_no_body(site: Site) -> None:
    site.longer["small"] = 5
    with pytest.raises(Unfinished, match="broke off after 10 of 15"):
        read(Web(), f"{site.address}/small")


def test_a_silent_server_is_given_up(site: Site) -> None:
    site.silent = "small"
    with pytest.raises(Unfinished, match="timed out"):
        read(Web(silent=0.1), f"{site.address}/small")


@pytest.mark.parametrize("fault", ["silent", "dripping"])
def test_an_answer_that_takes_too_long_in_whole_is_ended(site: Site, fault: str) -> None:
    setattr(site, fault, "small")
    with pytest.raises(Unfinished, match=r"took longer than 0\.2 s"):
        read(Web(), f"{site.address}/small", seconds=0.2)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_of_the_server_may_pass(site: Site, status: int) -> None:
    site.statuses.append(("small", status))
    site.retry_after = "7"
    with pytest.raises(Unfinished, match=str(status)) as caught:
        read(Web(), f"{site.address}/small")
    assert caught.value.wait == 7.0


@pytest.mark.parametrize("status", [400, 403, 404, 410, 416])
def test_a_refusal_does_not_pass(site: Site, status: int) -> None:
    site.statuses.append(("small", status))
    with pytest.raises(DeviceError, match=str(status)) as caught:
        read(Web(), f"{site.address}/small")
    assert not isinstance(caught.value, Unfinished)


def test_nobody_there_may_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unfinished, match="Connection refused"):
        read(Web(), f"http://127.0.0.1:{port}/small")


def test_what_is_no_http_is_trouble() -> None:
    def hang_up(server: socket.socket) -> None:
        for answer in (b"SSH-2.0-OpenSSH_10.0\r\n", b""):
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=[server], daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/small"
        for _ in range(2):
            with pytest.raises(DeviceError, match="cannot read http"):
                read(Web(), url)
        thread.join()


def test_a_redirect_to_the_same_scheme_is_followed(site: Site) -> None:
    site.redirects["old"] = "/small"
    assert read(Web(), f"{site.address}/old") == b"0123456789"


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/small", "http://user:secret@127.0.0.1/"]
)
def test_a_redirect_elsewhere_is_not_followed(site: Site, target: str) -> None:
    site.redirects["small"] = target
    with pytest.raises(DeviceError, match=r"is not (followed|allowed)") as caught:
        read(Web(), f"{site.address}/small")
    assert "secret" not in caught.value.message
    assert len(site.asked) == 1


def test_from_https_no_redirect_leads_to_http() -> None:
    import email.message
    import io
    import urllib.request

    def led(start: str, to: str) -> object:
        request = urllib.request.Request(start)
        head = email.message.Message()
        answer = io.BytesIO()
        return web.Redirects().redirect_request(request, answer, 302, "", head, to)  # type: ignore[arg-type]

    assert led("https://a/x", "https://b/x")
    assert led("http://a/x", "https://b/x")
    with pytest.raises(DeviceError, match="an address of http:"):
        led("https://a/x", "http://b/x")


def test_a_ring_of_redirects_ends(site: Site) -> None:
    site.redirects["small"] = "/small"
    with pytest.raises(DeviceError, match="redirect"):
        read(Web(), f"{site.address}/small")
    assert len(site.asked) <= 6


def test_a_chain_of_redirects_ends(site: Site) -> None:
    for step in range(20):
        site.redirects[f"/step{step}."] = f"/step{step + 1}."
    with pytest.raises(DeviceError, match="redirect"):
        read(Web(), f"{site.address}/step0.")
    assert len(site.asked) <= 6


def test_the_password_of_a_proxy_is_in_no_message(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("http://me:hunter2@127.0.0.1:1", "socks://me:hunter2@", "http://me:hunter2@:x"):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(DeviceError) as caught:
            read(Web(), "http://example.invalid/small")
        assert "hunter2" not in caught.value.message + caught.value.remedy


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Site]:
    """A server over TLS whose certificate is ``certificate.pem``, beside its folder."""
    made = tmp_path / "certificate.pem"
    typed(
        *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"),
        *("ec_paramgen_curve:P-256", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", made, "-out", f"{made}.public"),
    )
    with made.open("ab") as file:
        file.write(Path(f"{made}.public").read_bytes())
    (tmp_path / "site").mkdir()
    (tmp_path / "site/small").write_bytes(b"0123456789")
    with serving(tmp_path / "site", made) as running:
        yield running


def test_a_server_whose_certificate_is_trusted_is_read_and_ended_in_time(
    secure: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.root.parent / "certificate.pem.public"))
    assert read(Web(), f"{secure.address}/small") == b"0123456789"
    secure.dripping = "small"
    with pytest.raises(Unfinished, match=r"took longer than 0\.3 s"):
        read(Web(), f"{secure.address}/small", seconds=0.3)


def test_a_server_whose_certificate_is_not_trusted_is_not_asked(secure: Site) -> None:
    with pytest.raises(DeviceError, match="certificate verify failed") as caught:
        read(Web(), f"{secure.address}/small")
    assert caught.value.remedy
    assert secure.asked == []


@pytest.mark.parametrize(
    ("authorities", "told"),
    [("none", "install ca-certificates"), ("some", "this machine's clock says 20")],
)
def test_why_no_certificate_is_trusted_is_told(
    secure: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authorities: str, told: str
) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    if authorities == "some":
        (folder / "one.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    with pytest.raises(DeviceError, match="certificate verify failed") as caught:
        read(Web(), f"{secure.address}/small")
    assert told in caught.value.remedy


def test_a_folder_of_this_machine_answers_as_a_server_would(tmp_path: Path) -> None:
    (tmp_path / "small file").write_bytes(b"0123456789")
    url = f"file://{tmp_path}/small%20file"
    asker = Web()
    with asker.ask(url, {}, 1.0) as answer:
        assert (answer.status, answer.length) == (200, 10)
        tag = answer.headers["ETag"]
    with asker.ask(url, {"If-None-Match": tag}, 1.0) as answer:
        assert answer.status == 304
    with asker.ask(url, {"Range": "bytes=4-", "If-Range": tag}, 1.0) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 4-9/10")
        assert answer.body.read(100) == b"456789"
    with asker.ask(url, {"Range": "bytes=4-", "If-Range": '"another"'}, 1.0) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("kind", ["missing", "folder", "link"])
def test_what_is_no_file_of_a_folder_is_told(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "small").mkdir()
    elif kind == "link":
        (tmp_path / "small").symlink_to("/dev/zero")
    with pytest.raises(DeviceError, match="cannot read file:///"):
        read(Web(), f"file://{tmp_path}/small")
