"""docs/guide: its examples run, its figures are what the script draws, its links lead somewhere."""

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.running import KINDS, execute, programs, understood

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
CHAPTERS = [page for page in PAGES if page.name[0].isdigit()]
TROUBLE = "08-troubleshooting.md"
"""Its entries are provoked and mended by a test of their own."""
RUN = [page for page in CHAPTERS if page.name != TROUBLE]
IMAGE = re.compile(r"!\[(?P<told>[^\]]*)\]\((?P<file>[^)]+)\)")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def after_chapter_one(commands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first chapter leaves: a small model and its bundle. The others begin with it."""
    folder = tmp_path_factory.mktemp("guide")
    execute(RUN[0], folder, commands)
    return folder


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(random)


@pytest.mark.guide
def test_the_first_chapter_runs_and_leaves_a_bundle(after_chapter_one: Path) -> None:
    assert (after_chapter_one / "out" / "bundle" / "manifest.json").is_file()


@pytest.mark.guide
@pytest.mark.parametrize("page", RUN[1:], ids=[page.stem for page in RUN[1:]])
def test_a_chapter_runs_in_its_order_and_prints_what_it_says(
    page: Path, after_chapter_one: Path, commands: Path, tmp_path: Path, torch_as_it_was: None
) -> None:
    shutil.copytree(after_chapter_one, tmp_path, dirs_exist_ok=True)
    execute(page, tmp_path, commands)


def test_the_chapters_have_many_blocks_that_are_run_and_checked() -> None:
    run = [b for page in RUN for b in blocks_of(page) if " run" in b.kind]
    assert len(run) >= 20
    assert sum(bool(block.printed) for block in run) >= 20
    assert sum(len(page.read_text("utf-8").splitlines()) for page in PAGES) >= 1_500


@pytest.mark.parametrize("page", RUN, ids=[page.stem for page in RUN])
def test_every_block_says_what_it_is_and_a_shell_understands_it(page: Path) -> None:
    for block in blocks_of(page):
        assert KINDS.fullmatch(block.kind), (page.name, block.line, block.kind)
        if block.kind.partition(" ")[0] == "sh":
            assert list(understood(block)) == [], block.line


def test_the_figures_are_what_the_script_draws() -> None:
    drawn: dict[str, str] = runpy.run_path(str(GUIDE / "figures.py"))["draw_all"]()
    there = {path.name: path.read_text("utf-8") for path in (GUIDE / "figures").iterdir()}
    assert sorted(there) == sorted(drawn)
    stale = [name for name, content in drawn.items() if there[name] != content]
    assert stale == [], "python docs/guide/figures.py draws them again"


def test_each_figure_is_small_and_tells_what_it_shows() -> None:
    figures = sorted((GUIDE / "figures").glob("*.svg"))
    assert len(figures) >= 10
    for figure in figures:
        text = figure.read_text("utf-8")
        assert len(text) < 100_000
        title, description = (
            re.search(f"<{tag}[^>]*>([^<]+)</{tag}>", text) for tag in ("title", "desc")
        )
        assert title and len(title[1]) > 10, figure.name
        assert description and len(description[1]) > 40, figure.name
        assert "prefers-color-scheme:dark" in text
        for outside in ("http:", "https:", "<script", "<image", "@import", "<foreignObject"):
            assert outside not in text.replace("http://www.w3.org/2000/svg", ""), figure.name


def test_each_figure_stands_in_a_chapter_with_words_in_its_place() -> None:
    shown = {}
    for page in PAGES:
        for match in IMAGE.finditer(page.read_text("utf-8")):
            assert len(match["told"]) > 30, (page.name, match["file"])
            shown[match["file"]] = page.name
    assert sorted(shown) == sorted(f"figures/{p.name}" for p in (GUIDE / "figures").iterdir())


def test_the_index_names_every_chapter_and_each_leads_to_the_next() -> None:
    index = (GUIDE / "README.md").read_text("utf-8")
    linked = re.findall(r"\((\d\d-[\w-]+\.md)\)", index)
    assert linked == sorted(linked)
    assert [name[:2] for name in linked] == [f"{i:02}" for i in range(1, 11)]
    for page in CHAPTERS:
        assert page.name in linked
        text = page.read_text("utf-8")
        assert text.startswith(f"# {int(page.name[:2])}. "), page.name
        later = [name for name in linked if name > page.name]
        if later and page.name != TROUBLE:
            assert f"({later[0]})" in text.splitlines()[-1], page.name
