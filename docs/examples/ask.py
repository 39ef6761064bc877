"""Asks the service on this device for a text and adds it to a file: a program beside tinytx.

    python3 ask.py texts.txt "Once upon a time"

It needs Python's standard library only. The service may be about to start, or have no release
yet: it says 503 then, and is asked again for a minute. A switch to another release it never shows.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = os.environ.get("TINYTX_ADDRESS", "http://127.0.0.1:8765")
PATIENCE = float(os.environ.get("ASK_SECONDS", "60"))


def ask(prompt: str, tokens: int = 40) -> str:
    """The prompt and how it goes on."""
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "echo": True}).encode()
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{ADDRESS}/v1/completions", body, timeout=60) as answer:
                text: str = json.load(answer)["choices"][0]["text"]
                return text
        except urllib.error.HTTPError as error:
            why = f"it says {error.code}: {error.read(200).decode('utf-8', 'replace')}"
            if error.code not in (429, 503):
                raise SystemExit(why) from error
        except OSError as error:  # nobody listens yet
            why = str(error)
        if time.monotonic() > end:
            raise SystemExit(f"{ADDRESS} gives no text: {why}")
        time.sleep(2)


def main() -> None:
    path, prompt = sys.argv[1:]
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(ask(prompt) + "\n\n")


if __name__ == "__main__":
    main()
