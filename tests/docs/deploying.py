"""What docs/deploy.md is run with: its bundles, the folder where it is typed, a web server."""

import shutil
from pathlib import Path

from tests.remote.bundles import with_fewer_prompts

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
SERVER = "http://192.168.1.10:8000"
"""Of the workstation, as the page names it."""
SUDO = """#!/bin/sh
# sudo -n -u tinytx COMMAND...: whoever tests is nobody else
shift 3
{command}
"""


def workplace(folder: Path, bundle: Path) -> Path:
    """A folder with out/bundle, and new/bundle, which differs from it in one file."""
    shutil.copytree(bundle, folder / "out/bundle")
    with_fewer_prompts(bundle, folder / "new/bundle")
    (folder / "site").mkdir()
    return folder
