"""A release store as its server sees it: which release is current, and a word to those who switch.

Releases come and go by renames of the link ``current`` (:mod:`tinytx.release`). The link is read
once for each load, because it may point elsewhere a moment later.
"""

import json
import logging
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from tinytx.errors import TinytxError, UsageError
from tinytx.serve.model import Model

log = logging.getLogger(__name__)
CURRENT, SERVING = "current", "serving.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Store:
    """A folder of releases. What cannot be written in it is told in the log, and serving goes on:
    a full disk must not take the service down."""

    def __init__(self, root: Path) -> None:
        """Raises :class:`UsageError` when there is no such folder."""
        if not root.is_dir():
            raise UsageError(
                f"--store: {root} is no folder",
                "`tinytx release status --store` says what is there",
            )
        self.root = root
        self._lock = ExitStack()
        self._first = True
        """Whether no other service lives on this store."""

    def recover(self) -> None:
        """Settle what an interruption left half done, before the first release is loaded."""
        from tinytx.release.recover import at_service_start

        try:
            for done in at_service_start(self.root):
                log.info("%s", done)
        except TinytxError as error:
            log.error("the store could not be looked over: %s", error.message)
        self._first = self._hold()
        self.ended()  # whoever wrote it is gone, and that has been dealt with

    def _hold(self) -> bool:
        """Keep the service's lock until this process ends; whether it could be had."""
        from tinytx.release import lock

        try:
            return self._lock.enter_context(lock.tried(self.root / "serve.lock", "serve"))
        except OSError as error:
            log.error("serve.lock cannot be written: %s", error.strerror)
            return True

    def current(self) -> Path | None:
        """The folder that the link leads to at this moment, whether it is there or not."""
        link = self.root / CURRENT
        return Path(os.path.realpath(link)) if os.path.lexists(link) else None

    def taken(self, model: Model | None) -> None:
        """Write down which release is served, and by whom; nothing while none is."""
        if model is None:
            self.ended()
            return
        if not self._first:
            return
        from tinytx.release import memory

        told = {
            "release": model.bundle.id,
            "pid": os.getpid(),
            "boot": _boot_id(),
            "since": int(model.since),
            **memory.group(),
        }
        temporary = self.root / f".{SERVING}.{os.getpid()}"
        try:
            temporary.write_text(json.dumps(told) + "\n", encoding="utf-8")
            temporary.replace(self.root / SERVING)
        except OSError as error:
            log.error("%s cannot be written: %s", SERVING, error.strerror)

    def ended(self) -> None:
        """Nothing of it is served any more, and that is as it should be."""
        if not self._first:  # the file is another's, who lives
            return
        with suppress(OSError):
            (self.root / SERVING).unlink(missing_ok=True)


def _boot_id() -> str:
    """Of the running kernel; empty where it does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
