"""Runs the blocks of a page in their order, in one folder, as a reader would type them.

``python run`` shares its names with the blocks before it; ``sh run`` has ``tinytx`` on its path,
and ``sh run 0 7 8`` may end with one of these; ``toml file NAME`` is written to that file; ``sh``
alone needs a board, a network or much time: a shell must understand it.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.docs.blocks import Block, blocks_of, difference

ROOT = Path(__file__).parents[2]
KINDS = re.compile(r"python run|sh run( \d+)*|toml file [\w.-]+|sh|text")
COLUMNS = "100"
SECONDS = 300.0
"""After which a command is taken to hang."""


class Wrong(AssertionError):
    """A block that does not run, or prints something else."""


def programs(folder: Path) -> Path:
    """A folder with ``tinytx`` and ``torchrun``: those of this working tree."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in (("tinytx", "tinytx.cli.main"), ("torchrun", "torch.distributed.run")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m {module} "$@"\n')
        path.chmod(0o755)
    return folder


def execute(
    page: Path, folder: Path, commands: Path, replaced: Mapping[str, str] | None = None
) -> int:
    """Run a page in ``folder``; how many blocks were run. Raises :class:`Wrong`.

    ``replaced``: words of the page, an address for example, and what stands for them here.
    """
    names: dict[str, Any] = {"__name__": "guide"}
    count = 0
    for block in blocks_of(page):
        for word, other in (replaced or {}).items():
            block = block._replace(code=block.code.replace(word, other))
        where = f"{page.relative_to(ROOT)}:{block.line}"
        found = ""
        if block.kind == "python run":
            found = _python(block, folder, names, where)
        elif block.kind.startswith("sh run"):
            found = _shell(block, folder, commands, where)
        elif block.kind.startswith("toml file "):
            (folder / block.kind.split()[-1]).write_text(block.code, encoding="utf-8")
        count += block.kind.partition(" ")[2].startswith("run")
        if block.printed and (reason := difference(block.printed, found)):
            raise Wrong(f"{where}: {reason}")
    return count


def _python(block: Block, folder: Path, names: dict[str, Any], where: str) -> str:
    said = io.StringIO()
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(said):
            exec(compile(block.code, where, "exec"), names)
    except Exception as error:
        raise Wrong(f"{where}: {type(error).__name__}: {error}") from error
    return said.getvalue()


def _shell(block: Block, folder: Path, commands: Path, where: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "CI"},
        "PATH": f"{commands}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "COLUMNS": COLUMNS,
    }
    ended = subprocess.run(
        ["sh", "-e", "-c", block.code],
        cwd=folder, env=environment, text=True, timeout=SECONDS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    allowed = [int(code) for code in block.kind.split()[2:]] or [0]
    if ended.returncode not in allowed:
        raise Wrong(f"{where}: ended with {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def understood(block: Block) -> Iterator[str]:
    """What a shell has against a block that is not run here."""
    for shell in ("bash", "sh"):
        ended = subprocess.run([shell, "-n"], input=block.code, text=True, capture_output=True)
        if ended.returncode or ended.stderr:
            yield f"{shell}: {ended.stderr}"
