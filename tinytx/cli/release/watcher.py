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

    signal.signal(signal.SIGTERM, _on_sigterm)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    store, once, delay = Store(Path(arguments[0])), arguments[1] == "1", float(arguments[2])
    try:
        time.sleep(delay)
        watching.watch(store, once=once)
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except TinytxError as error:
        logging.error("%s", error.message)
        return error.exit_code
    return 0


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
