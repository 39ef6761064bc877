"""Manners of a process that torchrun has started beside others: one of them speaks for all, and
what cannot succeed is not tried again."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tinytx.errors import EXIT_BUG, Interrupted, ProcessLost, TinytxError

FAILED = "tinytx-failed"  # in torchrun's own folder of this run: the exit code


def silent() -> bool:
    """Whether another process on this machine says the same."""
    several = {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()
    return several and os.environ["LOCAL_RANK"] != "0"


def worth_a_restart(error: TinytxError) -> bool:
    """Whether the same run may succeed when torchrun starts it again."""
    return isinstance(error, ProcessLost) or error.exit_code in (Interrupted.exit_code, EXIT_BUG)


def give_up(code: int) -> None:
    """Remember, for as long as torchrun runs, that this failure is final."""
    if path := _path():
        with suppress(OSError):
            path.write_text(str(code))


def earlier_failure() -> int | None:
    """The exit code of a final failure before torchrun started this process again."""
    path = _path()
    if path is None:
        return None
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def stand_aside() -> None:
    """Let Ctrl-C and SIGTERM end this process at once: another one does the work as yet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _path() -> Path | None:
    """torchrun keeps a folder for each run, and names in it RUN/attempt_N/LOCAL_RANK/error.json
    to each process: one up from all attempts is a place that they share."""
    named = os.environ.get("TORCHELASTIC_ERROR_FILE")
    return Path(named).parents[2] / FAILED if named and named.count("/") > 2 else None
