"""Signs of life of a trial, while it is prepared and trained."""

import threading
from collections.abc import Callable
from types import TracebackType

LONGEST_JOIN = 5.0
"""Seconds to wait for the last sign, which a dead line may hold up."""


class Heart:
    """Calls ``beat`` every ``interval`` seconds in a thread that no error ends.

    ``beat`` records that the trial is alive, and returns whether it is still ours.
    """

    def __init__(self, beat: Callable[[], bool], interval: float) -> None:
        self._beat, self._interval = beat, interval
        self._stop, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    @property
    def lost(self) -> bool:
        """Whether others have given the trial up: this process was silent for too long."""
        return self._lost.is_set()

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(LONGEST_JOIN)

    def _live(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            try:
                ours = self._beat()
            except Exception:  # the server restarts, the line is cut: the next beat may pass
                pause = min(self._interval, 1.0)
                continue
            pause = self._interval
            if not ours:
                self._lost.set()
                return
