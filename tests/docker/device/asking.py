"""For tests, run on a device: asks its service all the time, and writes down each answer.

python asking.py FILE SECONDS_BETWEEN: a JSON line for each, ``[began, seconds, model, text]``, or
``[began, seconds, "", why]`` for none. ``began`` is in seconds of the machine's monotonic clock.
"""

import json
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

BODY = json.dumps({"prompt": "The", "max_tokens": 8, "temperature": 0}).encode()


def ask() -> tuple[str, str]:
    connection = HTTPConnection("127.0.0.1", 8765, timeout=20)
    try:
        connection.request("POST", "/v1/completions", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            return "", f"{answer.status} {said['error']['message']}"
        return said["model"], said["choices"][0]["text"]
    except (OSError, ValueError, KeyError) as error:
        return "", f"{type(error).__name__}: {error}"
    finally:
        connection.close()


with Path(sys.argv[1]).open("a", buffering=1) as file:
    while True:
        began = time.monotonic()
        model, text = ask()
        row = [began, time.monotonic() - began, model, text]
        file.write(json.dumps(row) + "\n")
        time.sleep(float(sys.argv[2]))
