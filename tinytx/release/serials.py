"""Which serial numbers were signed here, by key: so that none is signed because a device claims it.

What is signed for a device bears a number above the one that the device has. A device that lies
may claim a number so high that hardly one is left above it; the statement that it gets for this
would then make every other device that trusts the key refuse all later releases. So a number far
above all that were signed here is for a person to give.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinytx.workspace import atomic_write

log = logging.getLogger(__name__)
LARGEST_JUMP = 1_000
"""How far above the highest signed here a device's number may lie: others sign with the key too."""
VARIABLE = "TINYTX_STATE_DIR"


def state_folder() -> Path:
    """``TINYTX_STATE_DIR``, or ``tinytx`` in ``XDG_STATE_HOME`` or ``~/.local/state``."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME", "")
    if not Path(base).is_absolute():  # unset, or not to be trusted: XDG base directory rules
        base = os.path.expanduser("~/.local/state")  # noqa: PTH111 (never raises, unlike Path.home)
    return Path(base) / "tinytx"


def highest(key: str) -> int:
    """The highest number that was signed here with the key of this fingerprint; 0 for none."""
    return _read(state_folder() / "serials.json").get(key, 0)


def signed(key: str, serial: int) -> None:
    """Remember a number. Where that cannot be kept, the next jump is refused sooner."""
    path = state_folder() / "serials.json"
    try:
        with _alone(path):
            known = _read(path)
            if serial > known.get(key, 0):
                text = json.dumps({**known, key: serial}, indent=2, sort_keys=True)
                atomic_write(path, text.encode() + b"\n")
    except OSError as error:
        log.warning("the serial number cannot be remembered in %s: %s", path, error.strerror)


def _read(path: Path) -> dict[str, int]:
    """What cannot be read is as good as nothing: it only makes the limit stricter."""
    try:
        document = json.loads(path.read_bytes())
        return {str(key): int(serial) for key, serial in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
