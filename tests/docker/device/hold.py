"""For tests, installed beside tinytx on a device: who writes a stated line of the journal is held
there, before the line or after it is on the disk, until it is killed or let go.

FOLDER/at says where, as ``STATE PHASE before|after``; FOLDER/reached then holds the process's id,
and FOLDER/go.ID lets it go on. Nothing is imported that a command does not have anyway.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/var/tmp/hold")
write = os.pwrite


def holding_pwrite(descriptor: int, data: bytes, offset: int) -> int:
    if not (data.startswith(b"{") and data.endswith(b"}\n") and b'"check":"' in data):
        return write(descriptor, data, offset)
    hold(data, "before")
    count = write(descriptor, data, offset)
    os.fsync(descriptor)
    hold(data, "after")
    return count


def hold(data: bytes, when: str) -> None:
    try:
        state, phase, instant = (FOLDER / "at").read_text().split()
    except (OSError, ValueError):
        return
    named = f'"state":"{state}"'.encode() in data and f'"phase":"{phase}"'.encode() in data
    if instant != when or not named:
        return
    with suppress(OSError):
        (FOLDER / "at").rename(FOLDER / f"at.{os.getpid()}")  # one process, once
        (FOLDER / ".reached").write_text(str(os.getpid()))
        (FOLDER / ".reached").rename(FOLDER / "reached")
        while not (FOLDER / f"go.{os.getpid()}").exists():
            time.sleep(0.01)


os.pwrite = holding_pwrite  # type: ignore[assignment]
