"""Going on after the database of a search did not answer."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import optuna
import sqlalchemy

from tinytx.errors import PrerequisiteError

T = TypeVar("T")

STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""Whatever may go wrong between here and the database."""
PATIENCE = 1_800.0
"""Seconds that a worker goes on trying."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0  # seconds; doubled from try to try


def cause_of(error: BaseException) -> str:
    """What the database, or libpq, said: one line."""
    found = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
    return " ".join(str(found).split())[:240] or type(found).__name__


class Patience:
    """Tries again, with longer and longer pauses, and says so."""

    def __init__(
        self,
        address: str,
        tell: Callable[[str], None],
        limit: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._tell, self._limit = address, tell, limit
        self._sleep, self._clock = sleep, clock
        self._inside = False

    def lose(self) -> None:
        """Try nothing again from now on: the user wants to stop."""
        self._limit = 0.0

    def keep_trying(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; it may be begun several times. Within it, calls of this do it
        once: what holds a lock must not wait.

        Raises :class:`PrerequisiteError` when the database has not answered for too long.
        """
        if self._inside:
            return work()
        began, wait = None, FIRST_WAIT
        while True:
            self._inside = True
            try:
                result = work()
            except STORAGE_ERRORS as error:
                now, why = self._clock(), cause_of(error)
            else:
                if began is not None:
                    self._tell(f"the database answers again, after {self._clock() - began:.0f} s")
                return result
            finally:
                self._inside = False
            if began is None:
                began = now
                if self._limit:
                    self._tell(
                        f"the database {self._address} does not answer ({why}); trying again for "
                        f"up to {self._limit / 60:.0f} minutes"
                    )
            if now - began >= self._limit:
                raise PrerequisiteError(
                    f"the database {self._address} has not answered for {now - began:.0f} s: {why}",
                    "the same command goes on where the search is",
                )
            self._sleep(wait * random.uniform(0.7, 1.0))  # workers do not come all at once
            wait = min(2 * wait, LONGEST_WAIT)
