"""Pages of other sites: none may ask but those whose origin is named; they may read answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.inside import Answer, Headers, Inside, inside
from tests.serve.process import serving
from tests.serve.test_http import refused
from tinytx.errors import UsageError
from tinytx.serve.origins import checked

APP, LOCAL = "https://app.example", "http://localhost:3000"
ASKED = b'{"prompt": "River", "max_tokens": 1}'


@pytest.fixture(scope="module")
def ask(tiny_bundle: Path) -> Iterator[Inside]:
    with inside(tiny_bundle, token="secret", origins=checked([APP, LOCAL])) as asked:
        yield asked


def page(origin: str, *more: tuple[str, str]) -> Headers:
    """What a browser sends for a page of that origin."""
    told = [("origin", origin), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors"), *more]
    return [(name.encode(), value.encode()) for name, value in told]


def preflight(ask: Inside, origin: str, *more: tuple[str, str]) -> Answer:
    asked = ("access-control-request-method", "POST")
    return ask("OPTIONS", "/v1/completions", headers=page(origin, asked, *more))


SHOWN = ("authorization", "Bearer secret")


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_a_page_that_is_named_is_answered_and_may_read_it(ask: Inside, origin: str) -> None:
    listed = "authorization,content-type,x-stainless-lang"
    found = preflight(ask, origin, ("access-control-request-headers", listed))
    assert found.status == 204 and found.body == b""
    assert found.headers["access-control-allow-origin"] == origin
    assert "POST" in found.headers["access-control-allow-methods"]
    assert found.headers["access-control-allow-headers"] == listed
    assert "access-control-allow-credentials" not in found.headers
    found = ask("POST", "/v1/completions", ASKED, page(origin, SHOWN))
    assert found.status == 200
    assert found.headers["access-control-allow-origin"] == origin
    assert found.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "body", [ASKED, b'{"prompt": "River", "stream": true, "max_tokens": 2}', b"{", b'{"prompt": 1}']
)
@pytest.mark.parametrize("shown", [[SHOWN], []], ids=["token", "none"])
def test_whatever_the_answer_is_the_page_may_read_it(
    ask: Inside, body: bytes, shown: list[tuple[str, str]]
) -> None:
    found = ask("POST", "/v1/completions", body, page(APP, *shown))
    assert found.headers["access-control-allow-origin"] == APP
    assert found.headers["access-control-expose-headers"] == "Retry-After"
    assert (found.status == 401) == (not shown)  # a named page needs the token all the same


@pytest.mark.parametrize(
    "origin",
    [
        "https://elsewhere.example", "https://app.example.evil.example", "http://app.example",
        "https://APP.example", "https://app.example:8443", "https://app.example/", "null", "*", "",
    ],
)  # fmt: skip
def test_a_page_that_is_not_named_is_refused_and_learns_nothing(ask: Inside, origin: str) -> None:
    found = preflight(ask, origin)
    assert found.status == 405
    assert not any(name.startswith("access-control") for name in found.headers)
    found = ask("POST", "/v1/completions", ASKED, page(origin, SHOWN))
    assert (found.status, found.json()["error"]["code"]) == (403, "foreign_origin")
    assert not any(name.startswith("access-control") for name in found.headers)
    assert found.headers["vary"] == "Origin"


def test_none_is_named_by_default(tiny_bundle: Path) -> None:
    with inside(tiny_bundle) as ask:
        assert preflight(ask, APP).status == 405
        found = ask("POST", "/v1/completions", ASKED, page(APP))
        assert found.status == 403 and "access-control-allow-origin" not in found.headers


def test_a_preflight_asks_for_headers_by_their_names_only(ask: Inside) -> None:
    for listed in ("x\r\nset-cookie: a", "x" * 3_000, "a b", ",", "é"):
        found = preflight(ask, APP, ("access-control-request-headers", listed))
        assert found.status == 204 and "access-control-allow-headers" not in found.headers
    found = preflight(ask, APP, ("access-control-request-private-network", "true"))
    assert found.headers["access-control-allow-private-network"] == "true"
    found = ask("OPTIONS", "/v1/completions", headers=page(APP))  # no preflight
    assert found.status == 405 and found.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example", "http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:3000",
        "https://xn--bcher-kva.example",
    ],
)  # fmt: skip
def test_an_origin_as_a_browser_writes_it_is_taken(origin: str) -> None:
    assert checked([origin, origin]) == {origin}


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("*", "is no origin"), ("null", "is no origin"), ("", "is no origin"),
        ("app.example", "is no origin"), ("ftp://app.example", "is no origin"),
        ("https://", "is no origin"), ("https://a b", "is no origin"),
        ("https://*.example", "is no origin"), ("https://app.example:x", "is no origin"),
        ("https://[::1", "is no origin"), ("https://bücher.example", "is no origin"),
        ("https://app.example:70000", "is no origin"),
        ("https://app.example/", "write https://app.example"),
        ("https://app.example:443", "write https://app.example"),
        ("https://App.example", "write https://app.example"),
        ("https://me:pw@app.example", "write https://app.example"),
        ("https://app.example?x", "write https://app.example"),
    ],
)  # fmt: skip
def test_what_no_browser_would_send_is_refused(origin: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked([origin])
    assert words in f"{caught.value.message} {caught.value.remedy}"


def test_the_flag_names_origins_and_refuses_nonsense_in_one_sentence(tiny_bundle: Path) -> None:
    code, said = refused(str(tiny_bundle), "--cors-origin", "*")
    assert code == 64 and said[0] == "tinytx: --cors-origin: '*' is no origin"
    flags = ("--slots", "1", "--cors-origin", APP, "--cors-origin", LOCAL)
    with serving(tiny_bundle, *flags) as server:
        sent = {"Origin": LOCAL, "Sec_Fetch_Site": "cross-site"}
        status, _, headers = server.ask("/v1/completions", ASKED, **sent)
        assert (status, headers["access-control-allow-origin"]) == (200, LOCAL)
