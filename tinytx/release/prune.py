"""What the store need not hold: old releases, and parts of files that nobody went on with."""

import time
from dataclasses import dataclass, field

from tinytx.release import disk, lock, states
from tinytx.release.journal import Journal
from tinytx.release.store import Store, is_id

STALE_SECONDS = 7 * 86_400.0
"""After which a part of a file is not gone on with any more."""


@dataclass(frozen=True)
class Pruned:
    """What was taken away."""

    releases: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """Of ``incoming``."""


def prune(store: Store, journal: Journal, keep: int) -> Pruned:
    """Keep the newest ``keep`` releases, and whatever is served, the way back or on its way.

    The caller holds the store's lock.
    """
    entries = journal.entries()
    newest = states.newest(entries)
    needed = {store.target(store.current), store.target(store.previous)}
    needed |= {line.release for line in states.pending(entries)}
    order = [each for each in newest if each in set(store.installed())]
    order = [each for each in store.installed() if each not in newest] + order
    spare = [each for each in order if each not in needed]
    room = max(keep - len(needed & set(order)), 0)
    gone = spare[: len(spare) - room] if room else spare
    for release in gone:
        last = newest.get(release)
        if last is not None and not last.final:
            journal.give_up(release, "pruned")
        disk.remove_folder(store.release(release))
    _forget(store)
    return Pruned(gone, _stale(store))


def prune_if_free(store: Store, command: str) -> None:
    """After a commit: if nobody is at work on the store. What is left comes the next time."""
    with lock.tried(store.lock, command) as ours:
        if ours:
            prune(store, store.journal(command), store.policy().keep)


def _forget(store: Store) -> None:
    """Statements and proofs of releases that are neither here nor on their way."""
    known = {*store.installed(), *(p.stem for p in store.incoming.glob("*.manifest"))}
    for folder in (store.statements, store.proofs):
        for path in folder.iterdir():
            release = path.name.split(".")[0]
            if is_id(release) and release not in known:
                disk.remove(path)


def _stale(store: Store) -> list[str]:
    """Parts and manifests that were not touched for a week, unless a transfer is under way."""
    gone = []
    with lock.tried(store.receive_lock, "release prune") as ours:
        for path in sorted(store.incoming.iterdir()) if ours else []:
            if path.is_dir() and not path.is_symlink():
                continue  # none of ours
            if abs(time.time() - path.stat().st_mtime) > STALE_SECONDS:
                disk.remove(path)
                gone.append(path.name)
    return gone
