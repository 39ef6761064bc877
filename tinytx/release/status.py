"""What the store is in: one document for programs, a few lines for people."""

import platform
import sys
from typing import Any

from tinytx import __version__
from tinytx.errors import TinytxError
from tinytx.release import clock, disk, journal, lock, states
from tinytx.release.controller import IGNORED, memory_controller
from tinytx.release.mend import differs
from tinytx.release.policy import Policy
from tinytx.release.states import Entry
from tinytx.release.store import Store
from tinytx.release.watching import seconds_left

SCHEMA = 1
TRANSPORT_ONLY = "transport only"
GONE_TOLD = 50
"""Releases that are no longer here and still spoken of: the answer must stay short."""


def status(store: Store, notes: list[str]) -> dict[str, Any]:
    """The document. ``notes`` are what was found on the way here; changes nothing."""
    notes = list(notes)
    reading = journal.read(store.root / "journal")
    if reading.damage:
        notes.append(f"the journal is damaged: {reading.damage}")
    policy = _policy(store, notes)
    entries = reading.entries
    if words := differs(store, entries):
        notes.append(words)
    notes += _transfers(store)
    if not memory_controller():
        notes.append(IGNORED)
    return {
        "schema": SCHEMA,
        "tinytx": __version__,
        "store": str(store.root),
        "machine": machine(),
        "current": store.target(store.current) or None,
        "previous": store.target(store.previous) or None,
        "committed": _committed(entries),
        "releases": _releases(store, entries),
        "deployment": _deployment(entries, policy),
        "trust": _trust(store, notes),
        "lock": lock.holder(store.lock),
        "watched_by": lock.holder(store.watch_lock),
        "free_bytes": disk.free_bytes(store.root),
        "notes": notes,
    }


def machine() -> dict[str, str]:
    """What a workstation has to know of a device."""
    return {
        "system": sys.platform,
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "clock": clock.now(),
        "boot": clock.boot(),
    }


def lines(document: dict[str, Any]) -> list[str]:
    """The same for people."""
    current, deployment = document["current"], document["deployment"]
    told = [f"{document['store']}: serves {current or 'nothing'} ({document['trust']})"]
    if document["committed"]:
        told.append(f"committed {document['committed']['at']}")
    if document["previous"]:
        told.append(f"the way back is {document['previous']}")
    if deployment:
        left = deployment["deadline_in"]
        limit = "" if left is None else f", {left:.0f} s until the deadline"
        told.append(f"on its way: {deployment['release']} ({_state(deployment)}{limit})")
    told += [_row(one) for one in document["releases"]]
    if document["lock"] is not None:
        told.append(f"{lock.described(document['lock'])} is at work")
    return told + [f"note: {note}" for note in document["notes"]]


def _row(one: dict[str, Any]) -> str:
    serial = "" if one["serial"] is None else f" serial {one['serial']}"
    return f"  {one['id'][:12]} {_state(one)}{serial}"


def _state(one: dict[str, Any]) -> str:
    begun = " (begun)" if one["phase"] == "begin" else ""
    return f"{one['state']}{begun}" + (f": {one['why']}" if one["why"] else "")


def _policy(store: Store, notes: list[str]) -> Policy:
    try:
        return store.policy()
    except TinytxError as error:
        notes.append(error.message)
        return Policy()


def _committed(entries: list[Entry]) -> dict[str, Any] | None:
    line = states.committed(entries)
    return None if line is None else {"release": line.release, "serial": line.serial, "at": line.at}


def _releases(store: Store, entries: list[Entry]) -> list[dict[str, Any]]:
    """The newest line about each that is here, and about the last :data:`GONE_TOLD` others; for a
    folder that no line is about, what its being there says."""
    newest, serials = states.newest(entries), states.serials(entries)
    here = set(store.installed())
    gone = [release for release in newest if release not in here]
    told_no_more = set(gone[:-GONE_TOLD])
    told: list[dict[str, Any]] = [
        {"id": i, "state": "received", "phase": "done", "why": "no line is about it", "at": "",
         "serial": None}
        for i in store.installed()
        if i not in newest
    ]  # fmt: skip
    for release, line in newest.items():
        if release in told_no_more:
            continue
        told.append(
            {
                "id": release,
                "state": line.state,
                "phase": line.phase,
                "why": line.why,
                "at": line.at,
                "serial": serials.get(release),
            }
        )
    return told


def _deployment(entries: list[Entry], policy: Policy) -> dict[str, Any] | None:
    line = states.deployment(entries)
    if line is None:
        return None
    trial = states.on_trial(entries)
    left = None
    if trial is not None and line.state in states.ON_TRIAL:
        left = round(max(seconds_left(entries, line.release, policy), 0.0), 1)
    return {
        "release": line.release,
        "state": line.state,
        "phase": line.phase,
        "why": line.why,
        "deadline_in": left,
    }


def _trust(store: Store, notes: list[str]) -> str:
    from tinytx.release.trust import signatures_required

    try:
        return "signatures" if signatures_required(store.root) else TRANSPORT_ONLY
    except TinytxError as error:
        notes.append(error.message)
        return "signatures"


def _transfers(store: Store) -> list[str]:
    """What came in part."""
    parts = sorted(store.incoming.glob("*.part")) if store.incoming.is_dir() else []
    return [
        f"{path.stat().st_size:,} bytes of the file {path.stem[:12]} came so far" for path in parts
    ]
