"""How a command begins: the store is one that can be used, nobody else is at work on it, and what a
dead process left is finished or undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tinytx.errors import DeviceError, os_errors_as
from tinytx.release import lock, recover
from tinytx.release.journal import Journal
from tinytx.release.store import Store, open_store


@dataclass(frozen=True)
class Work:
    """A store that this process may change for as long as it holds this."""

    store: Store
    journal: Journal
    recovered: list[str] = field(default_factory=list)
    """What was finished or undone first, in words."""


@contextmanager
def begun(folder: Path | None, command: str, *, create: bool = False) -> Iterator[Work]:
    """Hold the store's lock, recover, then let the block work.

    Raises :class:`DeviceError` when the store cannot be used or another process is at work on it.
    """
    store = open_store(folder, create=create)
    journal = store.journal(command)
    with (
        os_errors_as(DeviceError, f"change the store {store.root}"),
        lock.held(store.lock, command),
    ):
        words = recover.recover(store, journal)
        yield Work(store, journal, words)
