"""A journal that cannot be believed is kept aside, and the state is read off the disk."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from tinytx.release import disk, states
from tinytx.release.journal import Journal, Reading, read
from tinytx.release.states import Entry
from tinytx.release.store import Store


def rebuild(store: Store, journal: Journal) -> str:
    """Begin a new journal if the old one is damaged, or missing beside a ``current``; says so.

    What ``current`` names is taken as committed if its files are whole, and as on trial if the last
    whole line about it says so, or says that it was not switched to yet: then the watch decides.
    Returns nothing if nothing was to do.
    """
    with journal.locked():
        reading = read(journal.path)
        current = store.target(store.current)
        if not reading.damage and (reading.entries or not current):
            return ""
        if reading.damage:
            stamp = re.sub(r"\D", "", datetime.now(UTC).isoformat(timespec="milliseconds")[:23])
            aside = journal.path.with_name(f"journal.damaged-{stamp}Z")
            if not aside.exists():
                aside.hardlink_to(journal.path)
                disk.sync(store.root)
            said = f"the journal was damaged ({reading.damage}) and is kept as {aside.name}"
        else:
            said = "the journal was missing"
        words = _begin_anew(store, journal, reading, current, said)
        return words


def _begin_anew(store: Store, journal: Journal, reading: Reading, current: str, said: str) -> str:
    previous = store.target(store.previous)
    if _was_on_trial(reading.entries, current) and store.is_whole(current):
        before = previous if previous != current else ""
        why = f"{said}; by its last whole line this release was not committed"
        facts: dict[str, Any] = {"from": before, "previous": "", "serial": _serial(store, current)}
        journal.restart(current, "switched", "done", why, **facts)
        return why
    for candidate, told in ((current, "current leads to it"), (previous, "current was damaged")):
        if store.is_whole(candidate):
            if candidate != current:
                store.lead(store.current, candidate)
            why = f"{said}; taken as committed, since {told} and it is whole"
            journal.restart(candidate, "committed", "done", why, serial=_serial(store, candidate))
            return why
    store.lead(store.current, "")
    why = f"{said}; no release here is whole"
    journal.restart("", "rolled-back", "done", why)
    return why


def _was_on_trial(entries: list[Entry], release: str) -> bool:
    """By the last whole line about it; that of the switch itself may be what was damaged."""
    last = states.newest(entries).get(release)
    if last is None:
        return False
    return last.state in states.BEFORE_SWITCH or states.on_trial([last]) is not None


def _serial(store: Store, release: str) -> int | None:
    """As its statement has it, so that an older release is still refused."""
    try:
        serial = json.loads((store.statements / f"{release}.json").read_bytes())["serial"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return serial if isinstance(serial, int) else None
