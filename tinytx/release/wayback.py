"""The way back: ``current`` returns to the release before, and the journal says why.

Whoever takes a release back holds the journal's lock all the time, so that a line that was begun
and not done there belongs to a dead process.
"""

import logging
from contextlib import suppress
from errno import EDQUOT, ENOSPC

from tinytx.errors import DeviceError, TinytxError
from tinytx.release import disk, states
from tinytx.release.journal import Journal
from tinytx.release.states import Entry
from tinytx.release.store import Store

log = logging.getLogger(__name__)


def take_back(store: Store, journal: Journal, release: str, why: str) -> str:
    """Undo the switch to ``release``; returns the id that is served now, empty for none.

    The release before is looked at first, byte by byte: a damaged one is not gone back to. On a
    disk so full that nothing can be written the link is moved all the same, and the lines are
    written by whoever recovers later.
    """
    with journal.locked():
        line = states.switch_line(journal.entries(), release)
        came_from = [str(line.extra.get(name, "")) for name in ("from", "previous")] if line else []
        whole = [each for each in came_from if each != release and store.is_whole(each)]
        to = whole[0] if whole else ""
        previous = whole[1] if len(whole) > 1 else ""
        if came_from and came_from[0] and came_from[0] != to:
            why = f"{why}; the release before, {came_from[0][:12]}, is damaged or gone"
        try:
            entry = journal.add(release, "rolled-back", "begin", why, to=to, previous=previous)
        except TinytxError:
            with suppress(OSError):
                _lead_back(store, to)
            raise
        finish(store, journal, entry)
        return to


def finish(store: Store, journal: Journal, entry: Entry) -> None:
    """Do what a begun line of ``rolled-back`` says; may be done again."""
    if "to" in entry.extra:
        to, previous = str(entry.extra["to"]), str(entry.extra.get("previous", ""))
        _lead_back(store, to)
        with suppress(OSError):  # nothing is served by it
            store.lead(store.previous, previous)
    journal.add(entry.release, "rolled-back", "done", entry.why, **entry.extra)
    log.warning("release %s was rolled back: %s", entry.release, entry.why)


def _lead_back(store: Store, to: str) -> None:
    """``current`` to ``to``. On a full disk ``previous``, if it leads there, takes its name."""
    try:
        if store.target(store.current) != to:
            store.lead(store.current, to)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT) or store.target(store.previous) != to:
            raise
        store.previous.replace(store.current)
        disk.sync(store.root)


def undo_switch(store: Store, journal: Journal, entry: Entry, why: str) -> None:
    """A switch that was begun and did not come to ``current``: ``previous`` is put back."""
    came_from = str(entry.extra.get("from", ""))
    with suppress(OSError):
        store.lead(store.previous, str(entry.extra.get("previous", "")))
    if store.target(store.current) != came_from:
        _lead_back(store, came_from)
    journal.give_up(entry.release, why)


def commit(store: Store, journal: Journal, release: str, why: str = "") -> None:
    """What is on trial is in force from now on. Raises :class:`DeviceError` if it is not."""
    with journal.locked():
        entries = journal.entries()
        trial = states.on_trial(entries)
        if trial is None or trial.release != release or store.target(store.current) != release:
            raise DeviceError(f"the release {release} is not on trial")
        with journal.step(release, "committed", why, serial=states.serial(entries, release)):
            pass
