"""The entries of docs/guide/08-troubleshooting.md, and what a test of one has to show."""

import functools
import os
import re
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tinytx.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "08-troubleshooting.md"
PARTS = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
TEXTS = {part.partition("\n")[0]: part.partition("\n")[2] for part in PARTS}
TESTED: list[str] = []


def entry_of(title: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Says which entry of the page a test is of, and holds the test to showing all of it."""
    TESTED.append(title)

    def hold(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def held(entry: "Entry", **fixtures: Any) -> None:
            test(entry, **fixtures)
            assert entry.shown, "the message was not brought about"
            assert entry.mended, "the remedy was not applied"

        held.title = title  # type: ignore[attr-defined]
        return held

    return hold


def pattern(line: str) -> str:
    """A line of a message on the page as an expression: an ellipsis stands for anything."""
    parts = [re.escape(" ".join(part.split())) for part in line.split("…")]
    return " ?.*".join(parts)


class Entry:
    """One entry of the page: what its test has to show of it."""

    def __init__(self, title: str) -> None:
        self.text = TEXTS[title]
        self.shown = self.mended = False

    def shows(self, said: str) -> None:
        """The message stands in ``said`` as it stands on the page, but for what differs."""
        (message,) = re.findall(r"^```text\n(.*?)^```", self.text, re.M | re.S)
        wanted = [pattern(line) for line in message.splitlines()]
        heard = [" ".join(line.split()) for line in said.splitlines()]
        places = range(len(heard) - len(wanted) + 1)
        found = [
            place
            for place in places
            if all(re.search(one, heard[place + row]) for row, one in enumerate(wanted))
        ]
        assert found, f"{message!r} is not what was said: {said!r}"
        self.shown = True

    def commands(self) -> list[str]:
        """The remedy's lines of shell."""
        blocks = re.findall(r"^```sh\n(.*?)^```", self.text, re.M | re.S)
        return [line for block in blocks for line in block.splitlines()]

    def apply(self) -> None:
        """Run the remedy's own ``tinytx`` commands; training with a small model."""
        ours = [line for line in self.commands() if line.startswith("tinytx ")]
        assert ours
        for line in ours:
            words = shlex.split(line)[1:]
            if words[0] == "train":
                words[1:1] = ["--config", "small.toml", "--quiet"]
            assert run(words) == 0, line
        self.mended = True


def wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any") -> None:
    """An empty wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    base = f"{name.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in needs]
    about = ["Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", f"Tag: {tag}"]
    with zipfile.ZipFile(folder / f"{base}-{tag}.whl", "w") as packed:
        for file, lines in (("METADATA", metadata), ("WHEEL", about), ("RECORD", [])):
            packed.writestr(f"{base}.dist-info/{file}", "\n".join(lines) + "\n")


@contextmanager
def package_index(folder: Path) -> Iterator[str]:
    """The address of a package index on this machine: a folder of folders of wheels."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test is told by pip."""


def pip(*arguments: str, before: str = "") -> str:
    """What the real pip says to a dry installation; of indexes it knows those that it is given."""
    start = "from pip._internal.cli.main import main; main(sys.argv[1:])"
    code = "; ".join(filter(None, ("import sys", before, start)))
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
    offline = [] if "--index-url" in arguments else ["--no-index"]
    words = [sys.executable, "-c", code, "install", "--dry-run", "--ignore-installed", *offline]
    ended = subprocess.run(
        [*words, *arguments], env=clean, capture_output=True, text=True, check=False
    )
    return ended.stdout + ended.stderr
