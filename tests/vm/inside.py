"""Runs on the device: asks its service, and looks whether its store is whole. One JSON document.

python3 inside.py health SECONDS       wait so long for an answer
python3 inside.py ask SECONDS          one request after the other for so long
python3 inside.py whole                the hashes of all that ``current`` leads to
"""

import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = "http://127.0.0.1:8765"
STORE = Path("/var/lib/tinytx")


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


def ask(seconds: float) -> dict[str, object]:
    """Requests in turn: how many were answered, which failed, the longest wait."""
    body = json.dumps({"prompt": "The river", "max_tokens": 4, "temperature": 0}).encode()
    answered, failed, longest = 0, [], 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            request = urllib.request.Request(f"{ADDRESS}/v1/completions", body)
            with urllib.request.urlopen(request, timeout=120) as answer:
                json.load(answer)
            answered += 1
        except OSError as error:
            failed.append(str(error))
        longest = max(longest, time.monotonic() - began)
    return {"answered": answered, "failed": failed, "longest": round(longest, 2)}


def whole() -> dict[str, object]:
    """What is wrong with the release that is in force; empty when it is whole."""
    current = STORE / "current"
    if not current.is_symlink():
        return {"current": None, "wrong": []}
    wrong = []
    manifest = json.loads((current / "manifest.json").read_bytes())
    for name, facts in manifest["files"].items():
        if hashlib.sha256((current / name).read_bytes()).hexdigest() != facts["sha256"]:
            wrong.append(name)
    if manifest["id"] != current.resolve().name:
        wrong.append("the folder's name")
    return {"current": current.resolve().name, "wrong": wrong}


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    if action == "whole":
        print(json.dumps(whole()))
    else:
        print(json.dumps({"health": health, "ask": ask}[action](float(rest[0]))))
