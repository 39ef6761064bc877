"""Builds the site from docs/ with zensical, without a network, and looks at what came out.

    python docs/tools/make_site.py [FOLDER]    # into FOLDER, else into site/
    python docs/tools/make_site.py --check     # into a folder that is thrown away

Exit code 1 and a line for each fault. zensical's own --strict stops at links to missing pages and
anchors; docs/tools/site_checks.py looks for what it passes. Pages are copied before: blocks of
code whose first line says more than a language (``sh run``) would print as plain text.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import site_checks

DOCS = Path(__file__).resolve().parents[1]
CONFIG = DOCS / "zensical.toml"
SUFFIXES = {".md", ".svg", ".png", ".css", ".js"}
ALL_OF = "examples"
"""The folder whose files are all copied: its pages link to them."""


def stage(target: Path, docs: Path = DOCS) -> dict[str, Any]:
    """Copy what the site is made of into ``target``; returns its configuration, filled in."""
    for file in sorted(docs.rglob("*")):
        inside = file.relative_to(docs)
        if file.is_file() and (file.suffix in SUFFIXES or inside.parts[0] == ALL_OF):
            (target / "docs" / inside).parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".md":
                text = plain_fences(file.read_text(encoding="utf-8"))
                (target / "docs" / inside).write_text(text, encoding="utf-8")
            else:
                shutil.copyfile(file, target / "docs" / inside)
    project: dict[str, Any] = tomllib.loads((docs / CONFIG.name).read_text(encoding="utf-8"))
    pages = sorted(p.relative_to(docs).as_posix() for p in docs.rglob("*.md"))
    filled = fill(project["project"]["nav"], pages)
    project["project"]["nav"] = filled
    return project


def plain_fences(text: str) -> str:
    """The same page with one word behind each fence: the language."""
    return re.sub(r"^( *```+)(\w[\w+-]*)[ \t][^\n`]*$", r"\1\2", text, flags=re.M)


def fill(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation with each pattern replaced by the pages that no entry names; a section's
    README comes first, and a section without pages goes."""
    named = {entry for entry in site_checks.entries(nav) if "*" not in entry}
    filled: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            ((title, inner),) = entry.items()
            inside = fill_one(inner, pages, named) if isinstance(inner, list) else inner
            filled += [{title: inside}] if inside else []
        else:
            filled += fill_one([entry], pages, named)
    return filled


def fill_one(entries: list[str], pages: list[str], named: set[str]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        if "*" not in entry:
            found.append(entry)
            continue
        folder = entry.rpartition("/")[0]
        inside = [p for p in pages if p.rpartition("/")[0] == folder and p not in named]
        found += sorted(inside, key=lambda page: (not page.endswith("README.md"), page))
    return found


def toml(value: object) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(toml(one) for one in value)}]"
    return json.dumps(value)


def build(out: Path, docs: Path = DOCS) -> list[str]:
    """Build into ``out``, which is replaced; returns the faults that were found."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        config = stage(work, docs)
        faults = site_checks.config_faults(config)
        pages = {p.relative_to(work / "docs").as_posix() for p in work.rglob("docs/**/*.md")}
        faults += site_checks.nav_faults(config["project"]["nav"], pages)
        if faults:
            return faults
        (work / "zensical.toml").write_text(f"project = {toml(config['project'])}\n")
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        ended = subprocess.run(
            [*command, "--config-file", str(work / "zensical.toml")],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            said = re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout + ended.stderr)  # its colours
            return [f"zensical: {line}" for line in said.splitlines() if line.strip()]
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(work / "site", out)
    return site_checks.site_faults(out)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        with tempfile.TemporaryDirectory() as folder:
            faults = build(Path(folder) / "site")
    elif len(arguments) <= 1 and not (arguments and arguments[0].startswith("-")):
        faults = build(Path(*arguments) if arguments else DOCS.parent / "site")
    else:
        print("usage: python docs/tools/make_site.py [FOLDER | --check]", file=sys.stderr)
        return 64
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
