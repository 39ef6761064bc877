"""From a published folder to a release that the device tries: the way for devices behind NAT.

One question to the server where nothing is new. Else the release goes the way of every other one:
its statement judged before a byte of it is fetched, offer, receive, install, prove, switch; the
watch then commits it or takes it back. What was taken back is not tried again by itself.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tinytx.errors import (
    BudgetFailed,
    BundleError,
    DeviceError,
    MeasurementInvalid,
    PrerequisiteError,
    TinytxError,
)
from tinytx.release import channel, fetch, health, install, intake, statement, states, switch, trust
from tinytx.release.address import base
from tinytx.release.channel import Tried
from tinytx.release.statement import Statement
from tinytx.release.states import Entry
from tinytx.release.store import Store
from tinytx.release.web import Web
from tinytx.release.work import begun

COMMAND = "release pull"
WHOLE_SECONDS = 1800.0
PROOFS_AT_MOST = 3
"""A proof that came to no verdict is made again at the next pulls, so many times in all."""
OPEN = "http:// protects nothing on the way: use https://, or name signers in allowed_signers"
UNDECIDED = (MeasurementInvalid, PrerequisiteError)
INTERRUPTED = "interrupted"
"""How the reason begins for which a release that a dead process left is rolled back."""

Ending = Literal["current", "on trial", "tried before", "switched"]


@dataclass(frozen=True)
class Pulled:
    """How a pull ended."""

    ending: Ending
    release: str
    serial: int
    fresh: bool
    """Whether the channel's file was sent, and not only said to be as before."""
    files: int
    """That were missing here and came."""
    requests: int
    received: int
    """Bytes of bodies."""
    notes: list[str]
    """What a person should know."""


def pull(
    folder: Path | None,
    address: str,
    *,
    time_limit: float = WHOLE_SECONDS,
    again: bool = False,
) -> Pulled:
    """Bring the store in ``folder`` to what the channel at ``address`` says.

    ``time_limit``: seconds for all that comes from the network. ``again``: try what was taken back.
    Raises :class:`TrustError` for a release that is not for this device, :class:`BundleError` for a
    damaged one, :class:`DeviceError` for trouble on the way, and what a proof ended with.
    """
    where = base(address)
    with begun(folder, COMMAND, create=True) as here:
        store, entries = here.store, here.journal.entries()
    policy = store.policy()
    memory = channel.recall(store.root, f"{where}/{policy.channel}.json")
    web = Web()
    site = fetch.Site(
        web,
        where,
        memory,
        time.monotonic() + time_limit,
        lambda: channel.remember(store.root, memory),
    )
    reading = channel.read(web, memory, site.left())
    said = statement.parse(reading.envelope.statement.encode())
    ending = decide(said, store.target(store.current), entries, memory.tried)
    if again and ending == "tried before":
        ending = None
    notes: list[str] = []
    if reading.fresh or ending is None:
        trusted = _judge(store, said, reading.envelope, entries, running=ending == "current")
        notes += [trusted.note, *([OPEN] if where.startswith("http:") and not trusted.by else [])]
        channel.accept(memory, reading)
        site.keep()
    if ending is not None:
        notes += _remarks(said, ending, memory.tried)
    files = _try(site, store, said) if ending is None else 0
    return Pulled(
        ending or "switched", said.bundle, said.serial, reading.fresh, files, web.requests,
        web.received, [note for note in notes if note],
    )  # fmt: skip


def _remarks(said: Statement, ending: Ending, tried: Tried | None) -> list[str]:
    """What there is to say where nothing is done."""
    found = []
    if said.expires_at <= datetime.now(UTC):
        found.append("the channel's statement has expired: nobody renewed it, or it is held back")
    if ending == "tried before" and tried is not None and tried.bundle == said.bundle:
        found.append(tried.why)
    return found


def decide(
    said: Statement, current: str, entries: list[Entry], tried: Tried | None
) -> Ending | None:
    """Why nothing is to be done about a release; None: it is to be tried."""
    trial = states.on_trial(entries)
    if trial is not None:
        return "on trial"
    if said.bundle == current:
        return "current"
    failed = tried is not None and tried.bundle == said.bundle and tried.times >= PROOFS_AT_MOST
    return "tried before" if failed or _taken_back(said.bundle, entries) else None


def _taken_back(release: str, entries: list[Entry]) -> bool:
    """Whether a release, the last time it came, was switched to and then rolled back."""
    switched, last = False, None
    for entry in entries:
        if entry.release == release:
            if (entry.state, entry.phase) == ("received", "begin"):
                switched = False
            switched = switched or entry.state in states.ON_TRIAL
            last = entry
    return (
        switched
        and last is not None
        and last.state == "rolled-back"
        and not last.why.startswith(INTERRUPTED)
    )


def _judge(
    store: Store,
    said: Statement,
    envelope: statement.Envelope,
    entries: list[Entry],
    *,
    running: bool,
) -> trust.Trusted:
    accepted = states.committed(entries)
    serial = accepted.serial if accepted is not None else None
    signed = trust.Signed(envelope.statement.encode(), envelope.signature)
    policy = store.policy()
    return trust.judge(store.root, said.bundle, signed, policy, serial, runs_already=running)


def _bring(site: fetch.Site, store: Store, said: Statement) -> int:
    """Everything of a release that the store misses; returns how many files that were."""
    raw = fetch.manifest(site, said.bundle)
    with begun(store.root, COMMAND) as here:
        offered = intake.offer(here.store, raw)
    for wanted in offered.missing:
        fetch.file(site, store, wanted)
    return len(offered.missing)


def _require_service(store: Store) -> None:
    """Somebody must be there who takes a release, also one that says that it has none yet: without,
    the watch could only take it back, and it would count as tried."""
    address = store.policy().health
    answer = health.ask(address, "/health", seconds=health.SECONDS)
    if answer.code == 0:
        raise DeviceError(
            f"no service is at {address} ({answer.trouble}): the release is here, and not tried",
            "start the service (tinytx serve --store) and pull again",
        )


def _try(site: fetch.Site, store: Store, said: Statement) -> int:
    """Fetch, install, prove, switch; the watch decides the rest. Returns the files that came."""
    from tinytx.release import watching

    files, envelope = _bring(site, store, said), site.memory.envelope
    assert envelope is not None
    _require_service(store)
    with begun(store.root, COMMAND) as here:
        signed = trust.Signed(envelope.statement.encode(), envelope.signature)
        trust.keep(here.store.root, said.bundle, signed)
        install.install(here, said.bundle)
        try:
            switch.prove(here, said.bundle)
        except (BudgetFailed, BundleError, *UNDECIDED) as error:
            _note_failure(site, said.bundle, error)
            raise
        switch.switch(here, said.bundle)
        watching.start_if_needed(here.store)
    return files


def _note_failure(site: fetch.Site, bundle: str, error: TinytxError) -> None:
    tried, times = site.memory.tried, PROOFS_AT_MOST
    if isinstance(error, UNDECIDED):
        times = 1 + (tried.times if tried is not None and tried.bundle == bundle else 0)
    site.memory.tried = Tried(bundle=bundle, times=times, why=error.message[:500])
    site.keep()
