"""The watch as a process of its own, without the command line's libraries: they would stay in its
memory for as long as it waits."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tinytx.errors import Interrupted, TinytxError


def become(store: Path, once: bool) -> None:
    """Go on as that process; does not return."""
    from tinytx.release.watching import words

    sys.stdout.flush()
    sys.stderr.flush()
    command = words(store, once=once)
    os.execve(command[0], command, {**os.environ, "PYTHONSAFEPATH": "1"})


def main(arguments: list[str]) -> int:
    """Wait and watch; returns the exit code."""
    from tinytx.release import watching
    from tinytx.release.store import Store

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    store, once, delay = Store(Path(arguments[0])), arguments[1] == "1", float(arguments[2])
    try:
        time.sleep(delay)
        watching.watch(store, once=once)
    except TinytxError as error:
        logging.error("%s", error.message)
        return error.exit_code
    return 0


def _end(signum: int, frame: FrameType | None) -> None:
    """At any instant: what is half done is the next recovery's."""
    raise SystemExit(Interrupted.exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
