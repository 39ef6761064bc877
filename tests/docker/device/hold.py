"""For tests, installed beside tinytx on a device: a process that writes a stated line of the journal
is held there, before the line or after it is on the disk, until it is killed or let go.

FOLDER/at says where, as ``STATE PHASE before|after``; FOLDER/reached then holds the process's id, and
FOLDER/go.ID lets it go on. Nothing is imported that a command does not have anyway.
"""

import os
import time
from contextlib import suppress

FOLDER = "/var/tmp/hold"
write = os.pwrite


def holding_pwrite(descriptor, data, offset):
    if not (data.startswith(b"{") and data.endswith(b"}\n") and b'"check":"' in data):
        return write(descriptor, data, offset)
    hold(data, "before")
    count = write(descriptor, data, offset)
    os.fsync(descriptor)
    hold(data, "after")
    return count


def hold(data, when):
    try:
        with open(f"{FOLDER}/at") as file:
            state, phase, instant = file.read().split()
    except (OSError, ValueError):
        return
    named = f'"state":"{state}"'.encode() in data and f'"phase":"{phase}"'.encode() in data
    if instant != when or not named:
        return
    with suppress(OSError):
        os.rename(f"{FOLDER}/at", f"{FOLDER}/at.{os.getpid()}")  # one process, once
        with open(f"{FOLDER}/.reached", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{FOLDER}/.reached", f"{FOLDER}/reached")
        while not os.path.exists(f"{FOLDER}/go.{os.getpid()}"):
            time.sleep(0.01)


os.pwrite = holding_pwrite
