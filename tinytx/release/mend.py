"""The link ``current`` where it is not as the journal has it: somebody removed or moved it by hand,
or copied the store without its links. What the journal says is in force wins, if it is whole.
"""

import logging

from tinytx.release import states, wayback
from tinytx.release.journal import Journal
from tinytx.release.states import Entry
from tinytx.release.store import Store

log = logging.getLogger(__name__)
GONE = "its folder is gone"
PUT_BACK = "current did not lead to it any more and was put back"


def differs(store: Store, entries: list[Entry]) -> str:
    """Says that ``current`` leads to another release than the journal has it; nothing if it does
    not, and while one is on trial, which is for its watch to see."""
    current, wanted = store.target(store.current), states.led(entries)
    out = not current and store.current.is_symlink()
    if states.on_trial(entries) is not None or (current in ("", wanted) and not out):
        return ""
    should = f"the journal has {wanted[:12]} in force" if wanted else "no release is in force"
    return f"current was led to {'nowhere' if out else current[:12]} by hand, and {should}"


def mend(store: Store, journal: Journal) -> str:
    """Put ``current`` right; says what was done, nothing if nothing was to do.

    A release that nobody switched to is not served: it was not proved here, or was taken back, and
    no watch would judge it.
    """
    with journal.locked():
        entries = journal.entries()
        current = store.target(store.current)
        there = bool(current) and store.release(current).is_dir()
        if (trial := states.on_trial(entries)) is not None:
            if there:
                return ""
            wayback.take_back(store, journal, trial.release, GONE)
            return f"{trial.release[:12]} was rolled back: {GONE}"
        wanted = states.led(entries) or ""
        told = differs(store, entries)
        if current == wanted and (there or not (current or told)):
            return ""
        words = _put_back(store, journal, wanted, told) or _go_back(store, journal, wanted, current)
        if told:
            words = f"{told}: {words}"
            log.warning("%s", words)
        return words


def _put_back(store: Store, journal: Journal, wanted: str, told: str) -> str:
    """To what is in force, if it is whole; to nothing, if nothing is and ``told`` says so."""
    if wanted and store.is_whole(wanted):
        store.lead(store.current, wanted)
        why = f"{told}; it was put back" if told else PUT_BACK
        serial = states.serial(journal.entries(), wanted)
        journal.add(wanted, "committed", "done", why, serial=serial)
        way = "; to go to another one: deploy it, or `tinytx release rollback`" if told else ""
        return f"{wanted[:12]}: {PUT_BACK}{way}"
    if told and not wanted:
        store.lead(store.current, "")
        return "it is not served; `tinytx release switch` serves what is proved"
    return ""


def _go_back(store: Store, journal: Journal, wanted: str, current: str) -> str:
    """To the release before, or to the one that somebody led it to if that was in force once:
    what should be served is damaged or gone."""
    gone = wanted or current
    lines = states.newest(journal.entries())
    candidates = [store.target(store.previous)]
    if current in lines and (lines[current].state, lines[current].phase) == ("committed", "done"):
        candidates.append(current)
    to = next((each for each in candidates if each != gone and store.is_whole(each)), "")
    why = GONE if not store.release(gone).is_dir() else "it is damaged"
    entry = journal.add(gone, "rolled-back", "begin", why, to=to, previous="")
    wayback.finish(store, journal, entry)
    return f"{gone[:12]} was rolled back: {why}"
