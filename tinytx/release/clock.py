"""Which boot this is, how long ago it was, and what the calendar says."""

import time
from datetime import UTC, datetime
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """The kernel's own name of this boot; empty where it tells none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def uptime() -> float:
    """Seconds since the boot, time asleep included: no change of the calendar touches it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def now() -> str:
    """The calendar: ISO 8601, UTC, to the millisecond. A device may have it wrong."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
