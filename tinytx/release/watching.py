"""The watch: it commits what is on trial or takes it back, and asks nobody.

It holds ``watch.lock``. The deadline is counted from the switch by a clock that no change of the
calendar touches, and anew after a boot; a second watch of the same switch that was cut off too
means the way back. Nothing heavy is imported: it waits in less than 25 MB.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinytx.errors import TinytxError
from tinytx.release import clock, health, lock, memory, states, wayback
from tinytx.release.journal import Journal
from tinytx.release.judge import Judge
from tinytx.release.mend import mend
from tinytx.release.policy import Policy
from tinytx.release.states import Entry
from tinytx.release.store import Store
from tinytx.release.trial import MOST_ATTEMPTS, TWICE, finish_trial

log = logging.getLogger(__name__)
COMMAND = "release watch"
PROCESS = "tinytx.cli.release.watcher"
SERVICE_DELAY = 5.0
"""Seconds that a watch started with the service leaves a watch unit to begin."""
PAUSE = 1.0
"""Seconds between two looks."""
COMPLETION_EVERY = 5
"""Looks between two small completions."""


def words(root: Path, *, once: bool, delay: float = 0.0) -> list[str]:
    """The command of a watch as a process of its own, which begins after ``delay`` seconds."""
    return [sys.executable, "-m", PROCESS, str(root), str(int(once)), f"{delay:g}"]


def start(store: Store, delay: float = 0.0) -> None:
    """Start a watch of its own session, which nothing that happens to this process touches, unless
    one is at work."""
    if lock.is_held(store.watch_lock):
        return
    import subprocess

    subprocess.Popen(
        words(store.root, once=True, delay=delay),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )


def start_if_needed(store: Store) -> None:
    """:func:`start`, if a release is on trial."""
    if _trial(store) is not None:
        start(store)


def watch(store: Store, *, once: bool, pause: float = PAUSE) -> None:
    """Decide about every release that is switched to; with ``once``, end when there is none.

    Without it, wait until no other watch is at work. Raises :class:`DeviceError` when the store
    cannot be used.
    """
    while True:
        with lock.tried(store.watch_lock, COMMAND, lock.PATIENCE) as ours:
            if ours:
                _keep_watch(store, once=once, pause=pause)
                return
        if once:
            return
        time.sleep(pause)


def _keep_watch(store: Store, *, once: bool, pause: float) -> None:
    seen: tuple[str, int, int] | None = None
    while True:
        if seen != (now := (store.target(store.current), *_stamp(store.root / "journal"))):
            seen = now
            try:
                decide(store, pause)
            except (TinytxError, OSError) as error:  # a full disk, say: try again, for ever
                log.error("the watch could not do its work: %s", error)
                seen = None
        if once and seen is not None and _trial(store) is None:
            return
        time.sleep(pause)


def _stamp(path: Path) -> tuple[int, int]:
    """Changes with every line."""
    with suppress(OSError):
        facts = path.stat()
        return facts.st_size, facts.st_ino
    return 0, 0


def _trial(store: Store) -> Entry | None:
    return states.on_trial(store.journal(COMMAND).entries())


def decide(
    store: Store, pause: float = PAUSE, ask: Callable[..., health.Answer] | None = None
) -> None:
    """Watch the release on trial, if there is one, to its end. The caller holds ``watch.lock``."""
    journal = store.journal(COMMAND)
    release = _take_up(store, journal)
    if not release:
        return
    switched = _switched(journal.entries(), release)
    policy = _policy(store)
    outcome = _watched(store, journal, release, policy, pause, ask or health.ask)
    if outcome is None:  # somebody else decided
        return
    with journal.locked():
        if not _is_on_trial(journal, release, switched):
            return
        if outcome:
            why = memory.explained(store, journal.entries(), release, outcome)
            wayback.take_back(store, journal, release, why)
            return
        journal.add(release, "watched", "done")
        wayback.commit(store, journal, release)
    with suppress(TinytxError, OSError):
        from tinytx.release.prune import prune_if_free

        prune_if_free(store, COMMAND)


def _take_up(store: Store, journal: Journal) -> str:
    """Write down that a watch begins; the id of the release, empty for nothing to watch."""
    from tinytx.release.rebuild import rebuild

    with journal.locked():
        rebuild(store, journal)
        trial = states.on_trial(journal.entries())
        if trial is None or finish_trial(store, journal, trial):
            mend(store, journal)
            return ""
        release = trial.release
        attempt = states.attempts(journal.entries(), release) + 1
        if attempt > MOST_ATTEMPTS:
            wayback.take_back(store, journal, release, TWICE)
            return ""
        journal.add(release, "watched", "begin", attempt=attempt, kills=memory.kills(store))
        return release


def _watched(
    store: Store,
    journal: Journal,
    release: str,
    policy: Policy,
    pause: float,
    ask: Callable[..., health.Answer],
) -> str | None:
    """Nothing when the release was healthy for long enough, else why it is to be taken back; None
    when it is no longer on trial."""
    judge = Judge(release, policy.watch_seconds)
    token = _token(policy)
    seen, look = _stamp(journal.path), 0
    switched = _switched(journal.entries(), release)
    while True:
        left = seconds_left(journal.entries(), release, policy)
        if left <= 0:
            trouble = f"; the last word: {judge.last_trouble}" if judge.last_trouble else ""
            return f"not healthy within {policy.deadline_seconds:g} s of the switch{trouble}"
        said = ask(policy.health, "/health", token=token, seconds=min(health.SECONDS, left))
        decision = judge.health(clock.uptime(), said)
        if decision is None and judge.healthy_since is not None and look % COMPLETION_EVERY == 0:
            decision = judge.completion(
                clock.uptime(),
                ask(
                    policy.health,
                    "/v1/completions",
                    body={"prompt": health.PROMPT, "max_tokens": 4},
                    token=token,
                    seconds=min(health.COMPLETION_SECONDS, left),
                ),
            )
        if decision is not None:
            return decision.why
        look += judge.healthy_since is not None
        time.sleep(pause)
        if seen != (now := _stamp(journal.path)):
            seen = now
            if not _is_on_trial(journal, release, switched):
                return None


def _switched(entries: list[Entry], release: str) -> tuple[str, float]:
    """Which switch to a release is watched: it may come again after it was taken back."""
    found = ("", 0.0)
    for entry in entries:
        if entry.release == release and (entry.state, entry.phase) == ("switched", "begin"):
            found = (entry.boot, entry.uptime)
    return found


def _is_on_trial(journal: Journal, release: str, switched: tuple[str, float]) -> bool:
    entries = journal.entries()
    trial = states.on_trial(entries)
    return (
        trial is not None and trial.release == release and _switched(entries, release) == switched
    )


def seconds_left(entries: list[Entry], release: str, policy: Policy) -> float:
    """Until the deadline of the release on trial: counted from the switch, or from the first line
    about it after a new boot."""
    boot, since = clock.boot(), None
    for entry in entries:
        if entry.release != release:
            continue
        if entry.state == "switched" and "from" in entry.extra and entry.phase == "begin":
            since = None
        if since is None and entry.boot == boot and entry.state in states.ON_TRIAL:
            since = entry.uptime
    return policy.deadline_seconds - (clock.uptime() - since if since is not None else 0.0)


def _policy(store: Store) -> Policy:
    """The device's; a file that cannot be read must not keep the way back shut."""
    try:
        return store.policy()
    except TinytxError as error:
        log.error("%s; the watch goes by the defaults", error.message)
        return Policy()


def _token(policy: Policy) -> str:
    if not policy.token_file:
        return ""
    try:
        return Path(policy.token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        log.error("cannot read %s: %s", policy.token_file, error)
        return ""
