"""Where hints that were measured on this machine are kept; nothing else is."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``TINYTX_CACHE_DIR``, or ``tinytx`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("TINYTX_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():  # unset, or not to be trusted: XDG base directory rules
        base = os.path.expanduser("~/.cache")  # noqa: PTH111 (never raises, unlike Path.home)
    return Path(base) / "tinytx"
