"""The pages agree with each other: indexes are complete, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOG = DOCS / "log"
DECISIONS = DOCS / "decisions"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])


def slugs(heading: str) -> tuple[str, str]:
    """A heading's anchor: as GitHub makes it, and as Python-Markdown does."""
    bare = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower().strip())
    return bare.replace(" ", "-"), re.sub(r"[-\s]+", "-", bare)


def without_code(page: Path) -> str:
    """The page's text without its blocks of code, fenced or indented, and without inline code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    return re.sub(r"`[^`\n]*`", "code", "\n".join(lines))


def headings(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [match.strip() for match in re.findall(r"^#{1,6} (.*)$", text, re.M)]


def anchors(page: Path) -> set[str]:
    return {slugs(heading)[0] for heading in headings(page)}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page))


def broken(page: Path) -> list[str]:
    """Links of ``page`` to files and anchors that are not there."""
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        there = file.is_file()  # a folder is no page in the site
        if there and anchor and file.suffix == ".md":
            there = anchor in anchors(file)
        if not there:
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](page.md#one) [b](other.md) [c](#two) [d](https://x.y) `[e](f.md)`")
    assert broken(page) == ["other.md", "#two"]


def test_headings_that_are_linked_have_one_anchor_everywhere() -> None:
    """GitHub keeps double hyphens, the site's renderer does not."""
    wrong = []
    for page in PAGES:
        for heading in headings(page):
            ours, theirs = slugs(heading)
            if ours != theirs and any(f"#{ours}" in other.read_text() for other in PAGES):
                wrong.append(f"{page.name}: {heading}")
    assert wrong == []


def test_every_section_of_the_log_is_in_its_index() -> None:
    index = (LOG / "README.md").read_text(encoding="utf-8")
    pages = sorted(set(LOG.glob("*.md")) - {LOG / "README.md"})
    assert len(pages) >= 10
    sections = [
        f"({page.name}#{slugs(heading)[0]})"
        for page in pages
        for heading in re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.M)
    ]
    assert len(sections) >= 50
    assert len(sections) == len(set(sections)), "two sections of one page have the same heading"
    assert [section for section in sections if section not in index] == []


def test_every_section_of_the_log_has_its_day_and_newer_ones_come_first() -> None:
    for page in set(LOG.glob("*.md")) - {LOG / "README.md"}:
        sections = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.M)
        days = [heading[:12] for heading in sections]
        assert [day for day in days if not re.fullmatch(r"\d{4}-\d\d-\d\d: ", day)] == [], page
        assert days == sorted(days, reverse=True), page


def test_every_decision_is_in_the_index_and_gaps_in_the_numbers_are_explained() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    pages = sorted(page.name for page in DECISIONS.glob("[0-9]*.md"))
    numbers = [int(name[:4]) for name in pages]
    assert len(numbers) == len(set(numbers)), "two pages have one number"
    assert [
        n for n, name in zip(numbers, pages, strict=True) if f"[{n}]({name})" not in index
    ] == []
    _, told, explained = index.partition("Numbers without a page:")
    assert told
    explained = explained.split("\n\n")[0]
    gaps = set(range(1, max(numbers))) - set(numbers)
    assert {int(n) for n in re.findall(r"\d+", explained)} == gaps


def named_files(text: str) -> set[str]:
    """Paths of the docs that a text names in words, as ``docs/log/runtime.md``."""
    return set(re.findall(r"(?<![\w/])docs/[\w./-]*\w", text))


def test_every_page_that_code_and_pages_name_is_there() -> None:
    folders = ("tinytx", "bench", "deploy", "docker", "docs", "tests", ".ci", ".github")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    files += [file for file in ROOT.iterdir() if file.is_file()]
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ""}
    wrong = []
    for file in files:
        if file.suffix not in kinds or not file.is_file() or file.name.startswith(".git"):
            continue
        for path in named_files(file.read_text(encoding="utf-8")):
            if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}-*.md")):
                wrong.append(f"{file.name}: {path}")
    assert wrong == []
