"""What ``zensical build --strict`` passes: looked for here, in the configuration and in the pages.

Tried with zensical 0.0.73: it says nothing of a missing image, a navigation entry without a page,
a page in no navigation, a link to a folder or a file that is not there, an unknown key, and a note
that prints as plain text because its extension is not on.
"""

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

KEYS: dict[str, set[str]] = {
    "": {"project"},
    "project": {
        "site_name", "site_description", "use_directory_urls", "extra_css", "nav", "theme",
        "markdown_extensions", "plugins", "extra",
    },
    "project.theme": {"font", "features", "palette"},
    "project.theme.palette": {"media", "scheme", "toggle"},
    "project.theme.palette.toggle": {"icon", "name"},
    "project.theme.features": {
        "content.code.copy", "navigation.footer", "navigation.indexes", "navigation.top",
        "search.highlight",
    },
    "project.markdown_extensions": {
        "admonition", "attr_list", "md_in_html", "tables", "pymdownx.details",
        "pymdownx.highlight", "pymdownx.superfences", "toc",
    },
    "project.markdown_extensions.toc": {"permalink"},
    "project.plugins": {"offline", "search"},
    "project.extra": {"generator", "polyfills"},
}  # fmt: skip
"""What the configuration may hold: a new key is added here once it was seen to do something."""
RESOURCES = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"),
             ("source", "srcset"), ("object", "data"), ("use", "href")}  # fmt: skip
"""What a browser fetches by itself; anything else is only followed by a reader."""
HARMLESS = {"canonical", "next", "prev"}
"""Kinds of links of which a browser fetches none."""
RAW = {
    "```": "a block of code prints as plain text",
    "!!! ": "a note prints as plain text",
    "??? ": "a folded note prints as plain text",
    "| --- |": "a table prints as plain text",
    "|---|": "a table prints as plain text",
}


def entries(nav: Iterable[Any]) -> Iterator[str]:
    """The pages of a navigation, in order."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from [inner] if isinstance(inner, str) else entries(inner)


def config_faults(table: Any, path: str = "") -> list[str]:
    """Keys and features that nobody has tried: zensical passes them over in silence."""
    if isinstance(table, list) and path in KEYS:
        words = [one for one in table if isinstance(one, str)]
        found = [f"unknown in {path}: {one}" for one in words if one not in KEYS[path]]
        tables = [one for one in table if isinstance(one, dict)]
        return found + [fault for one in tables for fault in config_faults(one, path)]
    if not isinstance(table, dict) or path == "project.nav":
        return []
    known, found = KEYS.get(path, set()), []
    for key, value in table.items():
        below = f"{path}.{key}" if path else key
        if key not in known:
            found.append(f"unknown key in the configuration: {below}")
        else:
            found += config_faults(value, below)
    return found


def nav_faults(nav: list[Any], pages: set[str]) -> list[str]:
    """Entries without a page, pages without an entry, pages with two."""
    named = list(entries(nav))
    faults = [f"the navigation names {page}, which is not there" for page in {*named} - pages]
    faults += [f"{page} is in no navigation" for page in pages - {*named}]
    return sorted(
        faults + [f"{p} is in the navigation twice" for p in {*named} if named.count(p) > 1]
    )


class Page(HTMLParser):
    """The addresses, the anchors and the text of one built page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.followed: list[str] = []
        self.anchors: set[str] = set()
        self.text: list[str] = []
        self._inside: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src", "srcset", "data"):
            if name in found and not found[name].startswith("data:"):
                fetches = (tag, name) in RESOURCES and found.get("rel") not in HARMLESS
                (self.fetched if fetches else self.followed).append(found[name])
        if tag in ("pre", "code", "script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)


def site_faults(site: Path) -> list[str]:
    """What is wrong with a built site: addresses that lead nowhere, and text that is no text."""
    site = site.resolve()
    pages = {file: Page(file) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}
    faults = [] if pages else ["the site has no pages"]
    for file, page in pages.items():
        name = file.relative_to(site).as_posix()
        outside = [one for one in page.fetched if urlsplit(one).netloc]
        faults += [f"{name} fetches {address} from outside" for address in outside]
        for address in [*page.fetched, *page.followed]:
            if not resolves(address, file, pages):
                faults.append(f"{name}: {address} leads nowhere")
        text = "\n".join(page.text)
        lines = [line.strip() for line in text.splitlines()]
        for mark, why in RAW.items():
            if any(line.startswith(mark) for line in lines):
                faults.append(f"{name}: {why} ({mark.strip()})")
    return list(dict.fromkeys(faults))


def resolves(address: str, file: Path, pages: dict[Path, Page]) -> bool:
    """Whether a local address leads to a file, and to an anchor that it has."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return True  # somebody else's
    if re.match("/", parts.path):
        return False  # of the disk, where the site is opened from one
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if not target.is_file():
        return False
    if not parts.fragment or target not in pages:
        return True
    return unquote(parts.fragment) in pages[target].anchors
