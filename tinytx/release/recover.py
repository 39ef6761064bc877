"""What a dead process left is finished or undone: the first thing that every command does, and the
service at its start.

A living one is never disturbed: it holds the store's lock for what it does before the switch, the
journal's for what it does to the links, and the watch's for as long as it watches.
"""

import json
import logging
from contextlib import suppress
from pathlib import Path

from tinytx.errors import DeviceError, os_errors_as
from tinytx.release import clock, disk, lock, memory, states, watching, wayback
from tinytx.release.intake import tidy
from tinytx.release.journal import Journal
from tinytx.release.mend import mend
from tinytx.release.rebuild import rebuild
from tinytx.release.shorten import shorten
from tinytx.release.store import Store, open_store
from tinytx.release.trial import MOST_ATTEMPTS, TWICE, finish_trial

log = logging.getLogger(__name__)
DIED = "the service ended while it served this release"


def recover(store: Store, journal: Journal, *, service_start: bool = False) -> list[str]:
    """Finish or undo what is half done; returns what was done, in words.

    The caller holds the store's lock. ``service_start``: the service is about to start, so that one
    which wrote ``serving.json`` in this boot has died.
    """
    words = [rebuild(store, journal)]
    with journal.locked():
        _sweep(store)
        for entry in states.newest(journal.entries()).values():
            if entry.phase == "begin" and entry.state in states.BEFORE_SWITCH:
                journal.give_up(entry.release, f"interrupted in {entry.state}")
                words.append(f"{entry.release[:12]} was interrupted in {entry.state}")
            elif entry.phase == "begin" and entry.state == "rolled-back":
                wayback.finish(store, journal, entry)
                words.append(f"{entry.release[:12]} was rolled back: {entry.why}")
    words.append(settle(store, journal, service_start=service_start))
    words.append(mend(store, journal))
    shorten(store, journal)
    return [each for each in words if each]


def at_service_start(folder: Path | None) -> list[str]:
    """For the service, before it loads anything: :func:`recover`, or only what concerns the links
    while another process is at work on the store. Raises :class:`DeviceError`."""
    store = open_store(folder)
    journal = store.journal("serve")
    with (
        os_errors_as(DeviceError, f"change the store {store.root}"),
        lock.tried(store.lock, "serve", lock.PATIENCE) as ours,
    ):
        if ours:
            return recover(store, journal, service_start=True)
        words = [rebuild(store, journal), settle(store, journal, service_start=True)]
        words.append(mend(store, journal))
        return [each for each in words if each]


def opened(folder: Path | None, command: str) -> Store:
    """A store for who needs no lock of it; recovered unless another process is at work on it."""
    store = open_store(folder, create=True)
    _recover_if_free(store, command)
    return store


def if_possible(store: Store, command: str) -> list[str]:
    """:func:`recover` for who only looks: says what was done, or why nothing could be."""
    try:
        return _recover_if_free(open_store(store.root), command)
    except DeviceError as error:
        return [error.message]


def _recover_if_free(store: Store, command: str) -> list[str]:
    with (
        os_errors_as(DeviceError, f"change the store {store.root}"),
        lock.tried(store.lock, command) as ours,
    ):
        return recover(store, store.journal(command)) if ours else []


def keep_watched(store: Store) -> None:
    """See to it that what is on trial is watched, though its watch may have been killed: for who
    runs anyway, as often as once a second. Raises :class:`DeviceError`."""
    if lock.is_held(store.watch_lock):
        return
    journal = store.journal("serve")
    with os_errors_as(DeviceError, f"change the store {store.root}"):
        if states.on_trial(journal.entries()) is not None:
            settle(store, journal)


def settle(store: Store, journal: Journal, *, service_start: bool = False) -> str:
    """The release on trial: finish what was begun, take it back if nobody may decide any more, and
    see to it that somebody watches it."""
    with journal.locked():
        trial = states.on_trial(journal.entries())
        if trial is None:
            return ""
        if words := finish_trial(store, journal, trial):
            return words
        if service_start and _died(store, trial.release):
            why = memory.explained(store, journal.entries(), trial.release, DIED)
            wayback.take_back(store, journal, trial.release, why)
            return f"{trial.release[:12]} was rolled back: {why}"
        with lock.tried(store.watch_lock, "release recover") as nobody_watches:
            if not nobody_watches:
                return ""
            if states.attempts(journal.entries(), trial.release) >= MOST_ATTEMPTS:
                wayback.take_back(store, journal, trial.release, TWICE)
                return f"{trial.release[:12]} was rolled back: {TWICE}"
    watching.start(store, delay=watching.SERVICE_DELAY if service_start else 0.0)
    return ""


def _died(store: Store, release: str) -> bool:
    """Whether a service served this release in this boot and did not end cleanly. One that holds
    its lock lives, whoever else is about to start."""
    if lock.is_held(store.serve_lock):
        return False
    try:
        said = json.loads(store.serving.read_bytes())
        return bool(said["release"] == release and said["boot"] == clock.boot())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sweep(store: Store) -> None:
    """What was never given its name."""
    for folder in (store.root, store.incoming, store.statements, store.proofs):
        for path in [*folder.glob(".*.new"), *folder.glob(".try-*")]:
            with suppress(OSError):
                path.unlink()
    for path in [*store.releases.glob(".new-*"), *store.releases.glob(".old-*")]:
        disk.remove_folder(path)
    tidy(store)
