"""The release on trial: what a dead process began about it, and how often its watch may begin."""

from tinytx.release import wayback
from tinytx.release.journal import Journal
from tinytx.release.states import Entry
from tinytx.release.store import Store

MOST_ATTEMPTS = 2
"""Watches of one switch: a second one that was cut off too means the way back."""
TWICE = "the watch was interrupted twice"


def finish_trial(store: Store, journal: Journal, trial: Entry) -> str:
    """Finish what a dead process began about the release on trial; says how that ended, nothing if
    it is still on trial. The caller holds the journal's lock."""
    release, here = trial.release, store.target(store.current) == trial.release
    if trial.state == "rolled-back":
        wayback.finish(store, journal, trial)
        return f"{release[:12]} was rolled back: {trial.why}"
    if (trial.state, trial.phase) == ("switched", "begin"):
        if not here:
            wayback.undo_switch(store, journal, trial, "interrupted in switched")
            return f"{release[:12]} was interrupted in switched"
        journal.add(release, "switched", "done", trial.why, **trial.extra)
        return ""
    if not here:
        wayback.take_back(store, journal, release, "current no longer led to it")
        return f"{release[:12]} was rolled back: current no longer led to it"
    if trial.state == "committed":
        journal.add(release, "committed", "done", trial.why, **trial.extra)
        return f"{release[:12]} was committed"
    return ""
