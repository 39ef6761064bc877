"""Steps that a person or a workstation asks for: prove, switch, commit and roll back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytx.errors import BundleError, DeviceError, MeasurementInvalid, TinytxError
from tinytx.release import disk, states, wayback
from tinytx.release.install import giving_up
from tinytx.release.states import Entry
from tinytx.release.store import Store
from tinytx.release.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytx.measure.run.bench import Progress
    from tinytx.release.prove import Proof


def prove(
    work: Work,
    release: str,
    *,
    allow_invalid: str = "",
    whole: bool = False,
    progress: "Callable[[Progress], None] | None" = None,
) -> "Proof":
    """Prove a verified release on this device and keep the report.

    ``allow_invalid`` is the reason to accept a proof that could not be made; it is recorded. Raises
    what the proof ended with, :class:`BudgetFailed` for example: the release is then rolled back.
    That of a release which is in force or on trial already changes no state.
    """
    store, journal = work.store, work.journal
    entries = journal.entries()
    if release == store.target(store.current):
        return _prove(store, release, whole, progress)
    _require(entries, release, ("verified", "proved"), "installed")
    with giving_up(journal, release), journal.step(release, "proved") as notes:
        proof = _prove(store, release, whole, progress)
        failure = proof.failure()
        if failure is not None:
            if not (allow_invalid and isinstance(failure, MeasurementInvalid)):
                raise failure
            notes |= {"allowed_invalid": allow_invalid, "unproven": failure.message[:300]}
    return proof


def _prove(
    store: Store, release: str, whole: bool, progress: "Callable[[Progress], None] | None"
) -> "Proof":
    from tinytx.release import prove as proofs

    policy = store.policy()
    budgets: str | Path = policy.budgets
    proof = proofs.prove(store.release(release), budgets, policy.device, progress, whole=whole)
    text = json.dumps(proof.document(), indent=2, ensure_ascii=False, allow_nan=False)
    disk.write(store.proofs / f"{release}.json", text.encode() + b"\n")
    return proof


def _require(entries: list[Entry], release: str, wanted: tuple[str, ...], word: str) -> None:
    last = states.newest(entries).get(release)
    if last is None or last.state not in wanted or last.phase != "done":
        now = f"{last.state}, {last.phase}" if last else "not known here"
        why = f": {last.why}" if last and last.why else ""
        raise DeviceError(
            f"the release {release} is not {word} ({now}{why})",
            "its way is: offer, receive, install, prove, switch",
        )


def switch(work: Work, release: str) -> bool:
    """Let ``current`` lead to a proved release; from now on the watch decides.

    Returns False when it leads there already. Raises :class:`DeviceError` when the release is not
    proved or another one is on trial, :class:`BundleError` when it is damaged.
    """
    store, journal = work.store, work.journal
    with journal.locked():
        entries = journal.entries()
        trial = states.on_trial(entries)
        if trial is not None and trial.release != release:
            raise DeviceError(
                f"the release {trial.release} was switched to and is still being watched",
                "wait until it is committed, or `tinytx release rollback`",
            )
        current = store.target(store.current)
        if release == current:
            return False
        _require(entries, release, ("proved",), "proved")
        with giving_up(journal, release):
            store.bundle(release)  # every byte, once more
        _lead(work, release, current, states.serial(entries, release))
    return True


def _lead(work: Work, release: str, current: str, serial: int | None) -> None:
    store, journal = work.store, work.journal
    before = store.target(store.previous)
    facts: dict[str, Any] = {"from": current, "previous": before, "serial": serial}
    entry = journal.add(release, "switched", "begin", **facts)
    try:
        if current:
            store.lead(store.previous, current)
        store.lead(store.current, release)
        journal.add(release, "switched", "done", **facts)
    except (OSError, TinytxError) as error:
        why = error.message if isinstance(error, TinytxError) else error.strerror or str(error)
        wayback.undo_switch(store, journal, entry, f"cannot switch: {why}")
        raise


def commit(work: Work, release: str, force: str = "") -> None:
    """Put the release on trial in force by hand: after its watch, or with a reason to ``force``.

    Raises :class:`DeviceError`.
    """
    with work.journal.locked():
        trial = states.on_trial(work.journal.entries())
        if trial is None:
            raise DeviceError("no release is on trial: there is nothing to commit")
        watched = (trial.state, trial.phase) in (("watched", "done"), ("committed", "begin"))
        if trial.release == release and not watched and not force:
            raise DeviceError(
                f"the watch of the release {release} has not ended",
                "wait for it: the device decides alone; or give --force REASON",
            )
        wayback.commit(work.store, work.journal, release, force)


def roll_back(work: Work, reason: str = "") -> tuple[str, str]:
    """Take back what is on trial, else the release in force; returns its id and the id that is
    served instead (empty for none).

    Raises :class:`DeviceError` when there is nothing to go back to, :class:`BundleError` when that
    is damaged.
    """
    store, journal = work.store, work.journal
    why = reason or "asked for"
    with journal.locked():
        entries = journal.entries()
        trial = states.on_trial(entries)
        if trial is not None:
            return trial.release, wayback.take_back(store, journal, trial.release, why)
        current, to = store.target(store.current), store.target(store.previous)
        if not current or not to or to == current:
            raise DeviceError("there is no earlier release to go back to")
        if not store.is_whole(to):
            raise BundleError(f"the release before, {to}, is damaged; {current} stays")
        previous = _earlier(store, entries, current, to)
        entry = journal.add(current, "rolled-back", "begin", why, to=to, previous=previous)
        wayback.finish(store, journal, entry)
        return current, to


def _earlier(store: Store, entries: list[Entry], *gone: str) -> str:
    """The release that was in force last, besides ``gone``, and was never taken back."""
    here = set(store.installed()) - {*gone}
    for release, line in reversed(states.newest(entries).items()):
        if (line.state, line.phase) == ("committed", "done") and release in here:
            return release
    return ""
