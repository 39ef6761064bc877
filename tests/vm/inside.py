"""Runs on the device: asks its service, looks at its disk. One JSON document.

python3 inside.py health SECONDS       wait so long for an answer
python3 inside.py ask SECONDS FILE     requests in turn for so long, or until FILE is there
python3 inside.py look SECONDS         once it serves: what, whether it is whole, the journal
python3 inside.py disk                 every file that is not for the moment, in one line each
"""

import hashlib
import json
import os
import stat
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = "http://127.0.0.1:8765"
STORE = Path("/var/lib/tinytx")
PLACES = ("/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var")
PASSING = tuple(
    Path(name)
    for name in (
        "/root/input", "/var/cache", "/var/log", "/var/tmp", "/var/lib/systemd", "/var/lib/private",
    )
)  # fmt: skip
"""Not looked at: what the tests put there themselves, and what systemd writes all the time."""


def health(seconds: float) -> dict[str, object]:
    """What the service says; an empty store is an answer too."""
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{ADDRESS}/health", timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError as error:
            if time.monotonic() > until:
                return {"status": "none", "why": str(error)}
            time.sleep(0.5)


def look(seconds: float) -> dict[str, object]:
    """All that is to be known after a start, in one question."""
    until = time.monotonic() + seconds
    while (said := health(60)).get("status") != "ok" and time.monotonic() < until:
        time.sleep(1)
    return {"serves": said.get("release"), "health": said, **whole(), "journal": journal()}


def ask(seconds: float, stop: Path) -> dict[str, object]:
    """Requests in turn: when each answer came (seconds since the boot), which failed, the longest
    wait."""
    body = json.dumps({"prompt": "The river", "max_tokens": 4, "temperature": 0}).encode()
    answered: list[float] = []
    failed, longest = [], 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.exists():
        began = time.monotonic()
        try:
            request = urllib.request.Request(f"{ADDRESS}/v1/completions", body)
            with urllib.request.urlopen(request, timeout=120) as answer:
                json.load(answer)
            answered.append(round(time.monotonic(), 2))
        except OSError as error:
            failed.append(str(error))
        longest = max(longest, time.monotonic() - began)
    return {"answered": answered, "failed": failed, "longest": round(longest, 2)}


def whole() -> dict[str, object]:
    """What is wrong with the release that is in force; empty when it is whole."""
    link = STORE / "current"
    if not link.is_symlink():
        return {"current": None, "wrong": []}
    current = link.resolve()  # once: it may be led back meanwhile
    wrong = []
    manifest = json.loads((current / "manifest.json").read_bytes())
    for name, facts in manifest["files"].items():
        if hashlib.sha256((current / name).read_bytes()).hexdigest() != facts["sha256"]:
            wrong.append(name)
    if manifest["id"] != current.name:
        wrong.append("the folder's name")
    return {"current": current.name, "wrong": wrong}


def journal() -> list[tuple[bool, str, str]]:
    """Of each line whether it is of this boot, the release, and its state."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    entries = map(json.loads, (STORE / "journal").read_bytes().splitlines())
    return [
        (line["boot"] == boot, line["release"], f"{line['state']} {line['phase']}")
        for line in entries
    ]


def disk() -> dict[str, object]:
    """Every path with its kind, mode, owner and content; no compiled files of Python's, and not
    the copies that the programs for users and groups keep (``/etc/passwd-``)."""
    found = {}
    for place in PLACES:
        for name, folders, files in os.walk(place):
            folder = Path(name)
            folders[:] = [one for one in folders if one != "__pycache__"]
            folders[:] = [one for one in folders if folder / one not in PASSING]
            for one in (*folders, *files):
                if name != "/etc" or one[-1] != "-":
                    found[str(folder / one)] = _facts(folder / one)
    return found


def _facts(path: Path) -> str:
    facts = path.lstat()
    told = f"{facts.st_mode:o} {facts.st_uid}:{facts.st_gid}"
    if stat.S_ISLNK(facts.st_mode):
        return f"{told} -> {path.readlink()}"
    if stat.S_ISREG(facts.st_mode):
        if path.is_relative_to("/usr"):  # many, and nobody means to write there
            return f"{told} {facts.st_size} {facts.st_mtime_ns}"
        return f"{told} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return told


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    actions = {
        "health": lambda: health(float(rest[0])),
        "ask": lambda: ask(float(rest[0]), Path(rest[1])),
        "look": lambda: look(float(rest[0])),
        "disk": disk,
    }
    print(json.dumps(actions[action]()))
