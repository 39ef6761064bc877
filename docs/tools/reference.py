"""Writes the pages of ``docs/reference/`` from the code; ``--check`` says which are stale.

    python docs/tools/reference.py            # write them
    python docs/tools/reference.py --check    # exit code 1, and their names, where one differs

Each page has a maker of its own. What the code cannot know of a setting (when to change it, what
it costs, what it did to the bits per byte) is in ``docs/reference/settings.toml``.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import reference_commands
import reference_errors
import reference_formats
import reference_settings

FOLDER = Path(__file__).resolve().parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": reference_commands.page,
    "settings.md": reference_settings.page,
    "formats.md": reference_formats.page,
    "errors.md": reference_errors.page,
}
NOTE = (
    "<!-- Written by docs/tools/reference.py: change the code, or what it reads, not this page. -->"
)


def made() -> dict[str, str]:
    """Every page's name and text, as the code has it now."""
    return {name: f"{NOTE}\n\n{maker()}" for name, maker in PAGES.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """The names of the pages that differ from the code, or are missing."""
    pages = {name: folder / name for name in PAGES}
    texts = {name: p.read_text(encoding="utf-8") for name, p in pages.items() if p.is_file()}
    return [name for name, text in made().items() if texts.get(name) != text]


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python docs/tools/reference.py [--check]", file=sys.stderr)
        return 64
    if arguments:
        for name in (names := stale()):
            print(f"docs/reference/{name} is stale: run python docs/tools/reference.py")
        return 1 if names else 0
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
