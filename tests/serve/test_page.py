"""The page at ``/``: what it is made of, and what it does in a real Chromium."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.chromium import Chromium, started
from tests.serve.process import Server, serving_slowly
from tinytx.serve import page

TOKEN = "correct-horse"


def test_the_page_comes_whole_and_closed(server: Server) -> None:
    status, text, headers = server.ask("/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert text == page.PATH.read_text()
    rules = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in rules and "connect-src 'self'" in rules
    assert not re.search(r"unsafe|\*|https?:", headers["content-security-policy"])
    assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_other_place_and_inserts_no_markup() -> None:
    text = page.PATH.read_text()
    addresses = set(re.findall(r"""\w+://[^\s"'%]+""", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"<[^>]+ (style|on\w+)=", text)


def test_every_field_of_the_page_has_a_label() -> None:
    text = page.PATH.read_text()
    names = set(re.findall(r"<(?:input|textarea)\s+id=\"(\w+)\"", text))
    assert len(names) == 7
    assert names <= set(re.findall(r"<label for=\"(\w+)\"", text))


# What follows needs a browser.


@pytest.fixture
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    with started(request, tmp_path / "profile") as tab:
        yield tab


@pytest.fixture(scope="module")
def slow(tiny_bundle: Path) -> Iterator[Server]:
    """Each step takes 30 ms, so that a text can be watched and stopped."""
    with serving_slowly(tiny_bundle, 0.03, {"slots": 2}) as running:
        yield running


def written(browser: Chromium, words: str) -> None:
    """Wait until the status begins with these words."""
    browser.until(f"document.getElementById('status').textContent.startsWith({words!r})")


def loaded(browser: Chromium, server: Server) -> None:
    browser.open(server.address)
    browser.until("document.getElementById('state').textContent.endsWith('is ready')")


@pytest.mark.browser
def test_a_text_is_typed_streamed_and_measured(browser: Chromium, slow: Server) -> None:
    loaded(browser, slow)
    browser.type("prompt", "La niña <b>&amp;")
    for name, value in {"max_tokens": "30", "temperature": "0", "seed": "7"}.items():
        browser.type(name, value)
    browser.click("go")
    seen = set()
    while not browser.evaluate("!document.getElementById('go').disabled"):
        seen.add(browser.text("made"))
    assert len(seen) > 3  # it came piece by piece
    status = browser.text("status")
    found = re.fullmatch(
        r"as long as asked: 30 tokens in ([\d.]+)\s+s, ([\d.]+) tokens/s, seed 7", status
    )
    assert found, status
    assert 0 < float(found[2]) < 34  # a step takes 30 ms
    asked = {"prompt": "La niña <b>&amp;", "max_tokens": 30, "temperature": 0}
    _, whole, _ = slow.ask("/v1/completions", asked)
    assert browser.text("made") == whole["choices"][0]["text"]
    assert browser.text("asked") == "La niña <b>&amp;"
    assert browser.evaluate("document.getElementById('output').getAttribute('aria-busy')") == (
        "false"
    )
    facts = browser.text("facts")
    for fact in ("tinytx-", "float32", "48 tokens", "Texts at once2"):
        assert fact in facts
    assert browser.complaints == []
    assert browser.requests and all(one.startswith(slow.address) for one in browser.requests)


@pytest.mark.browser
def test_a_text_ends_where_it_is_told_to(browser: Chromium, server: Server) -> None:
    loaded(browser, server)
    asked = {"prompt": "River", "max_tokens": 30, "temperature": 0, "seed": 1}
    _, whole, _ = server.ask("/v1/completions", asked)
    text = whole["choices"][0]["text"]
    stop = text[6:9]
    browser.type("prompt", "River")
    for name, value in {"max_tokens": "30", "temperature": "0", "stop": f"\u2603\n{stop}"}.items():
        browser.type(name, value)
    browser.click("go")
    written(browser, "ended at a text of yours")
    assert browser.text("made") == text[: text.index(stop)]


@pytest.mark.browser
def test_a_text_is_begun_and_stopped_from_the_keyboard(browser: Chromium, slow: Server) -> None:
    loaded(browser, slow)
    for stop in (lambda: browser.key("Escape", 27), lambda: browser.click("halt")):
        browser.type("prompt", "River")
        browser.type("max_tokens", "40")
        browser.key("Enter", 13, control=True)
        browser.until("document.getElementById('made').textContent.length > 3")
        stop()
        written(browser, "stopped: ")
        tokens = int(browser.text("status").split()[1])
        assert 0 < tokens < 40
        assert browser.text("error") == ""
        _, health, _ = slow.ask("/health")
        assert health["running"] == 0  # the slot is free again
    browser.type("max_tokens", "3")
    browser.key("Enter", 13, control=True)
    written(browser, "as long as asked: 3 tokens")
    assert browser.complaints == []


@pytest.mark.browser
def test_what_the_server_refuses_is_said_in_its_words(browser: Chromium, server: Server) -> None:
    loaded(browser, server)
    browser.type("prompt", "river " * 100)
    browser.click("go")
    browser.until("!document.getElementById('error').hidden")
    assert browser.text("error").startswith("The server says: the prompt has ")
    assert browser.evaluate("document.getElementById('error').getAttribute('role')") == "alert"
    browser.type("prompt", "river")
    browser.click("go")
    written(browser, "as long as asked")
    assert browser.evaluate("document.getElementById('error').hidden")
    browser.type("temperature", "7")  # what the page itself can see does not go out
    before = browser.requests.count(f"{server.address}/v1/completions")
    browser.evaluate("document.querySelector('details').open = false")
    browser.key("Enter", 13, control=True)
    browser.until("document.querySelector('details').open")
    assert browser.requests.count(f"{server.address}/v1/completions") == before == 2


@pytest.mark.browser
def test_a_server_that_goes_is_said_and_found_again_after_a_reload(
    browser: Chromium, tiny_bundle: Path
) -> None:
    with serving_slowly(tiny_bundle, 0.05) as server:
        loaded(browser, server)
        browser.type("prompt", "River")
        browser.type("max_tokens", "40")
        browser.click("go")
        browser.until("document.getElementById('made').textContent.length > 3")
        server.process.kill()
        browser.until("!document.getElementById('error').hidden")
        assert browser.text("error").startswith("The text above is not whole.")
        assert len(browser.text("made")) > 3
        browser.until("document.getElementById('state').textContent.includes('cannot be reached')")
        browser.click("go")
        browser.until("document.getElementById('error').textContent.includes('cannot be reached')")
    with serving_slowly(tiny_bundle, 0.0, port=server.port) as again:
        browser.until("document.getElementById('state').textContent.endsWith('is ready')")
        browser.reload()
        assert browser.text("made") == ""
        browser.until("document.getElementById('state').textContent.endsWith('is ready')")
        browser.click("go")
        written(browser, "as long as asked")
        assert again.address == server.address
    assert all(one.startswith(server.address) for one in browser.requests)


@pytest.mark.browser
def test_a_token_is_asked_for_and_survives_a_reload(browser: Chromium, tiny_bundle: Path) -> None:
    with serving_slowly(tiny_bundle, 0.0, token=TOKEN) as server:
        browser.open(server.address)
        browser.until("!document.getElementById('token-row').hidden")
        browser.click("go")
        browser.until("!document.getElementById('error').hidden")
        assert "needs a token" in browser.text("error")
        browser.type("token", TOKEN)
        browser.key("Tab", 9)
        browser.until("document.getElementById('state').textContent.endsWith('is ready')")
        browser.click("go")
        written(browser, "as long as asked")
        browser.reload()
        browser.until("document.getElementById('state').textContent.endsWith('is ready')")
        browser.click("go")
        written(browser, "as long as asked")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_window_and_can_be_read(
    browser: Chromium, server: Server, scheme: str
) -> None:
    browser.look(360, 740, scheme)
    loaded(browser, server)
    browser.evaluate("document.querySelector('details').open = true; fail('w'.repeat(300))")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    low = browser.evaluate(CONTRASTS)
    assert low and min(low.values()) >= 4.5, low
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 23)"
    assert dark == (scheme == "dark")


CONTRASTS = """
(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parts(getComputedStyle(node).backgroundColor);
      if (color.length === 3) return color;
    }
  };
  const found = {};
  const names = "h1, h2, p, label, summary, input, textarea, dt, dd, #go, #error";
  for (const node of document.querySelectorAll(names)) {
    if (!node.getClientRects().length) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))];
    found[node.id || node.tagName] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found;
})()
"""
"""Of each text and what is behind it (WCAG 2.2, 1.4.3)."""


@pytest.mark.browser
def test_a_screen_reader_finds_every_control_by_its_name(browser: Chromium, server: Server) -> None:
    loaded(browser, server)
    browser.evaluate("document.querySelector('details').open = true")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "textbox", "spinbutton", "textField", "DisclosureTriangle"}
    names = [
        node.get("name", {}).get("value")
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in controls
    ]
    assert {"Beginning of the text", "Most tokens", "Temperature", "Top-p", "Seed"} <= set(names)
    assert {"Texts that end it", "Continue", "Stop"} <= set(names)
    assert all(names)


def test_nothing_but_the_page_answers_at_its_address(server: Server) -> None:
    for path in ("/page.html", "/index.html", "/..%2f..%2fetc/passwd", "/static/x"):
        assert server.ask(path)[0] == 404
    with server.connect() as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.browser
def test_a_page_of_another_server_on_this_machine_may_not_ask(
    browser: Chromium, server: Server, slow: Server
) -> None:
    browser.open(f"{slow.address}/health")
    asked = "{method: 'POST', mode: 'no-cors', body: JSON.stringify({prompt: 'River'})}"
    browser.evaluate(f"fetch('{server.address}/v1/completions', {asked}).then(() => 1)")
    server.wait_for("POST /v1/completions 403")
