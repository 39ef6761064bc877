"""Old lines of the journal are dropped before reading it takes long: whoever waits keeps it all in
memory, and every line that is added reads all others.
"""

import logging
from collections import Counter
from contextlib import suppress
from typing import Any

from tinytx.errors import TinytxError
from tinytx.release import states
from tinytx.release.journal import Journal
from tinytx.release.states import Entry
from tinytx.release.store import Store

log = logging.getLogger(__name__)
MOST_LINES = 2000
KEPT_RELEASES = 50
"""Beside those that are here: the last ones that anything was said of."""
KEPT_LINES = 20
"""Of each release, and its commits and ways back, which say what was in force before it."""


def shorten(store: Store, journal: Journal) -> None:
    """Drop the oldest lines of a journal of more than :data:`MOST_LINES`, if all that follows from
    it stays as it is. On a full disk the long one stays. The caller holds the store's lock."""
    with journal.locked(), suppress(OSError, TinytxError):
        entries = journal.entries()
        if len(entries) <= MOST_LINES:
            return
        here = set(store.installed())
        kept = _kept(entries, here)
        if len(kept) < len(entries) and _meaning(kept, here) == _meaning(entries, here):
            journal.replace(kept)
            log.info("the journal has %d lines, %d before", len(kept), len(entries))


def _kept(entries: list[Entry], here: set[str]) -> list[Entry]:
    wanted = {*here, *list(states.newest(entries))[-KEPT_RELEASES:]}
    seen: Counter[str] = Counter()
    kept = []
    for entry in reversed(entries):
        if entry.release in wanted:
            seen[entry.release] += 1
            moved = entry.state in states.FINAL and "to" in entry.extra
            commits = entry.state == "committed" and seen[f"{entry.release} committed"] < 2
            seen[f"{entry.release} committed"] += commits
            if seen[entry.release] <= KEPT_LINES or moved or commits:
                kept.append(entry)
    return kept[::-1]


def _meaning(entries: list[Entry], here: set[str]) -> list[Any]:
    """What follows from a journal, as far as somebody goes by it; numbers of lines aside."""
    trial, accepted = states.on_trial(entries), states.committed(entries)
    release = trial.release if trial is not None else ""
    serials = states.serials(entries)
    last = states.newest(entries)
    switch = states.switch_line(entries, release)
    told = [trial, accepted, switch, *states.pending(entries), *(last.get(each) for each in here)]
    lines = [entry and (entry.at, entry.release, entry.state, entry.phase) for entry in told]
    numbers = [serials.get(each) for each in here]
    return [lines, states.attempts(entries, release), numbers, states.led(entries)]
