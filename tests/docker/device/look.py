"""For tests, run on a device: what its store is like, as one JSON document, without changing it."""

import json
import sys
from pathlib import Path

from tinytx.release import health, lock, states
from tinytx.release.journal import read
from tinytx.release.store import Store

store = Store(Path("/var/lib/tinytx"))
reading = read(store.root / "journal")
current, previous = store.target(store.current), store.target(store.previous)
trial = states.on_trial(reading.entries)
committed = states.committed(reading.entries)
said = health.ask("http://127.0.0.1:8765", "/health", seconds=5.0)
since = int(sys.argv[1]) if len(sys.argv) > 1 else 0
sys.stdout.write(
    json.dumps(
        {
            "damage": reading.damage,
            "aside": [path.name for path in store.root.glob("journal.damaged*")],
            "last": reading.entries[-1].seq if reading.entries else 0,
            "gap": [e.seq for e in reading.entries] != list(range(1, len(reading.entries) + 1)),
            "lines": [
                [e.release, e.state, e.phase, e.why] for e in reading.entries if e.seq > since
            ],
            "current": current,
            "previous": previous,
            "whole": store.is_whole(current),
            "way_back_whole": not previous or store.is_whole(previous),
            "on_trial": trial.release if trial else "",
            "committed": committed.release if committed else "",
            "busy": lock.is_held(store.lock),
            "served": said.document.get("release") or "",
            "health": said.document.get("status") or said.trouble,
        }
    )
)
