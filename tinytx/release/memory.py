"""Whether the kernel killed the service for want of memory. To a watch that hears no answer, and to
a service that starts anew, that looks like any other death.

Two witnesses. systemd knows how a unit ended; the unit's last command (deploy/units) leaves it in
the store, and only for this end. And a control group counts such kills for as long as it is there:
the service writes down which group is its own (``serving.json``), the watch how many there were
when it began. In a container that is started anew after such a kill nobody inside can know.
"""

import json
from pathlib import Path
from typing import Any

from tinytx import cgroup
from tinytx.release import clock, states
from tinytx.release.states import Entry
from tinytx.release.store import Store

KILLED = "the kernel killed the service for want of memory"
LEFT = "out-of-memory"
"""The file that the unit writes: which boot, and seconds since it."""
TICK = 0.01  # seconds: what /proc/uptime, from which the unit takes them, leaves out


def group() -> dict[str, Any]:
    """This process's own control group of memory, by name and by what no other group has."""
    chain = cgroup.find_chain("memory")
    if chain is None:
        return {}
    try:
        return {"group": str(chain.folders[0]), "inode": chain.folders[0].stat().st_ino}
    except OSError:
        return {}


def kills(store: Store) -> int | None:
    """How many processes of the service's group the kernel has killed so far, if it is there."""
    try:
        said = json.loads(store.serving.read_bytes())
        folder = Path(said["group"])
        same = folder.stat().st_ino == said["inode"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cgroup.kills(folder) if same else None


def explained(store: Store, entries: list[Entry], release: str, why: str) -> str:
    """``why`` a release on trial goes back, and that it was for want of memory, if it was."""
    known = _by_systemd(store, states.switch_line(entries, release)) or _counted(
        store, entries, release
    )
    return f"{KILLED}: {why}" if known else why


def _by_systemd(store: Store, switch: Entry | None) -> bool:
    """Whether systemd said so after the switch, or less than a tick before it."""
    try:
        boot, seconds = (store.root / LEFT).read_text("ascii").split()
        since = switch.uptime if switch is not None and switch.boot == boot else 0.0
        return boot == clock.boot() and float(seconds) + TICK >= since
    except (OSError, ValueError):
        return False


def _counted(store: Store, entries: list[Entry], release: str) -> bool:
    """Whether there are more kills than when the watch began."""
    before: object = None
    for entry in entries:
        if (entry.release, entry.state, entry.phase) == (release, "watched", "begin"):
            before = entry.extra.get("kills")
    now = kills(store)
    return isinstance(before, int) and now is not None and now > before
