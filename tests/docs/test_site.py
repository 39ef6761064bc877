"""The site: what zensical's strict mode passes is found, and its pages work from a disk."""

import importlib
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.serve.chromium import Chromium, started

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "docs" / "tools"


def tool(name: str) -> ModuleType:
    """A module of docs/tools, which is no package."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TOOLS))


checks = tool("site_checks")
make_site = tool("make_site")


def test_the_configuration_and_the_navigation_have_no_faults(tmp_path: Path) -> None:
    config = make_site.stage(tmp_path)
    pages = {p.relative_to(tmp_path / "docs").as_posix() for p in tmp_path.rglob("docs/**/*.md")}
    assert checks.config_faults(config) == []
    assert checks.nav_faults(config["project"]["nav"], pages) == []
    assert len(pages) > 50
    assert {path.parent.name for path in tmp_path.rglob("*.py")} <= {"examples"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"plugin": {}}, "unknown key in the configuration: project.plugin"),
        ({"theme": {"fonts": False}}, "unknown key in the configuration: project.theme.fonts"),
        ({"theme": {"features": ["search.hightlight"]}}, "project.theme.features: search.hightl"),
        ({"theme": {"palette": [{"shceme": "slate"}]}}, "project.theme.palette.shceme"),
        ({"plugins": {"offlin": {}}}, "project.plugins.offlin"),
        ({"markdown_extensions": {"admonitions": {}}}, "project.markdown_extensions.admonitions"),
    ],
)
def test_a_key_that_nobody_tried_is_a_fault(change: dict[str, Any], fault: str) -> None:
    (found,) = checks.config_faults({"project": change})
    assert fault in found


def test_navigation_and_pages_have_to_agree() -> None:
    nav = ["README.md", {"Guide": ["guide/1.md", "guide/2.md"]}, {"Again": ["guide/1.md"]}]
    found = checks.nav_faults(nav, {"README.md", "guide/1.md", "guide/3.md"})
    assert found == [
        "guide/1.md is in the navigation twice",
        "guide/3.md is in no navigation",
        "the navigation names guide/2.md, which is not there",
    ]


def test_a_pattern_takes_the_pages_that_are_named_nowhere_else() -> None:
    pages = ["README.md", "a.md", "b.md", "log/README.md", "log/Able.md", "log/x.md"]
    nav = ["README.md", {"Log": ["log/*.md"]}, {"None": ["none/*.md"]}, {"Rest": ["b.md", "*.md"]}]
    assert make_site.fill(nav, pages) == [
        "README.md",
        {"Log": ["log/README.md", "log/Able.md", "log/x.md"]},
        {"Rest": ["b.md", "a.md"]},
    ]


def test_words_behind_the_language_of_a_block_stay_out_of_the_site() -> None:
    page = "```sh run 64\ntinytx\n```\n~~~\n```ini unit a.service\n```\n  ```python\n"
    assert make_site.plain_fences(page) == "```sh\ntinytx\n```\n~~~\n```ini\n```\n  ```python\n"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="gone.svg">', "gone.svg leads nowhere"),
        ('<a href="folder/">x</a>', "folder/ leads nowhere"),
        ('<a href="other.html#two">x</a>', "other.html#two leads nowhere"),
        ('<a href="#two">x</a>', "#two leads nowhere"),
        ('<a href="/other.html">x</a>', "/other.html leads nowhere"),
        ('<script src="https://unpkg.com/x"></script>', "fetches https://unpkg.com/x from outside"),
        ('<img src="//host/x.png">', "fetches //host/x.png from outside"),
        ("<p>```sh run</p>", "a block of code prints as plain text"),
        ("<p>!!! note</p>", "a note prints as plain text"),
        ("<p>a\n|---|---|</p>", "a table prints as plain text"),
        ('<a href="other.html#one">x</a><a href="https://x.org/y">x</a><pre>```</pre>', ""),
    ],
)
def test_what_strict_passes_is_found_in_the_pages(tmp_path: Path, body: str, fault: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.html").write_text('<h1 id="one">One</h1>')
    (tmp_path / "page.html").write_text(f"<html><body>{body}</body></html>")
    found = checks.site_faults(tmp_path)
    assert bool(found) == bool(fault), found
    assert all(one.startswith("page.html") and fault in one for one in found)


# What follows needs zensical, which the extras docs and dev bring.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("needs zensical: pip install '.[docs]'")
    out: Path = tmp_path_factory.mktemp("built") / "site"
    assert make_site.build(out) == []
    return out


@pytest.mark.long
def test_the_whole_site_builds_without_a_fault(site: Path) -> None:
    assert (site / "index.html").is_file()
    pages = {p.relative_to(ROOT / "docs").with_suffix("") for p in (ROOT / "docs").rglob("*.md")}
    names = {Path(str(page).replace("README", "index")) for page in pages}
    assert {p.relative_to(site).with_suffix("") for p in site.rglob("*.html")} - {
        Path("404")
    } == names


@pytest.mark.parametrize(
    ("planted", "faults"),
    [
        (["[gone](nowhere.md)"], ["nowhere.md"]),
        (
            ["![gone](nowhere.svg)", "[up](log/)", "[out](../README.md)"],
            ["nowhere.svg leads nowhere", "log/ leads nowhere", "../index.html leads nowhere"],
        ),
    ],
)
def test_planted_faults_fail_the_build(
    site: Path, tmp_path: Path, planted: list[str], faults: list[str]
) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs" / "assets", docs / "assets")
    config = (ROOT / "docs" / "zensical.toml").read_text()
    nav = re.compile(r"^nav = \[\n.*?^\]\n", re.M | re.S)
    (docs / "zensical.toml").write_text(
        nav.sub('nav = ["*.md", { "Log" = ["log/*.md"] }]\n', config)
    )
    (docs / "log").mkdir()
    (docs / "log" / "README.md").write_text("# Log\n")
    (docs / "README.md").write_text("\n\n".join(["# One", *planted]))
    found = make_site.build(tmp_path / "out", docs)
    assert [fault for fault in faults if not any(fault in one for one in found)] == [], found


@pytest.fixture
def browser(site: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """Without a network: everything has to come from the site's own files."""
    with started(request, tmp_path / "profile") as tab:
        tab.call(
            "Network.emulateNetworkConditions",
            offline=True, latency=0, downloadThroughput=0, uploadThroughput=0,
        )  # fmt: skip
        yield tab


def asked_outside(tab: Chromium) -> list[str]:
    return [one for one in tab.requests if not re.match("file:|data:|about:|blob:", one)]


@pytest.mark.browser
def test_every_page_fits_360_pixels_and_asks_nothing_of_any_network(
    browser: Chromium, site: Path
) -> None:
    browser.look(360, 780)
    wide = []
    for page in sorted(site.rglob("*.html")):
        if page.name != "404.html":
            browser.open(page.as_uri())
            if (width := browser.evaluate("document.documentElement.scrollWidth")) > 360:
                wide.append((page.name, width))
    assert wide == []
    assert browser.complaints == []
    assert len(browser.requests) > 100
    assert asked_outside(browser) == []


@pytest.mark.browser
def test_search_finds_a_word_from_a_disk(browser: Chromium, site: Path) -> None:
    browser.look(1200, 900)
    browser.open((site / "index.html").as_uri())
    browser.evaluate("document.querySelector('.md-search__button').click()")
    dialog = "[...document.querySelectorAll('*')].find(one => one.shadowRoot)?.shadowRoot"
    browser.until(f"{dialog}?.activeElement?.getAttribute('role') === 'combobox'")
    browser.call("Input.insertText", text="externally-managed")
    found = f"[...({dialog}.querySelectorAll('a[role=option]'))].map(one => one.href)"
    address = (site / "guide" / "08-troubleshooting.html").as_uri()
    browser.until(f"{found}.some(one => one.startsWith({address!r}))")
    assert browser.complaints == []
    assert asked_outside(browser) == []


@pytest.mark.browser
def test_light_and_dark_follow_the_reader_and_the_toggle(browser: Chromium, site: Path) -> None:
    shade = "document.body.getAttribute('data-md-color-scheme')"
    for wish, first, second in (("light", "default", "slate"), ("dark", "slate", "default")):
        browser.look(1200, 900, wish)
        browser.open((site / "index.html").as_uri())
        browser.evaluate("localStorage.clear()")
        browser.open((site / "changelog.html").as_uri())
        browser.until(f"{shade} === {first!r}")
        light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.evaluate("document.querySelector('label[for^=__palette]:not([hidden])').click()")
        browser.until(f"{shade} === {second!r}")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert browser.complaints == []
