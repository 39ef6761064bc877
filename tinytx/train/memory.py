"""What training takes of a machine's memory, by the kernel's own high-water mark."""

from contextlib import suppress
from pathlib import Path

import psutil


def peak_memory() -> int | None:
    """The most that this process has ever held resident, in bytes (``VmHWM``).

    Children that are alive, such as torch.compile's workers, count with their own peak. None
    where the kernel has no such file.
    """
    own = high_water(Path("/proc/self/status"))
    if own is None:
        return None
    children = 0
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            children += high_water(Path(f"/proc/{child.pid}/status")) or 0
    return own + children


def high_water(status: Path) -> int | None:
    """The line ``VmHWM`` of a status file, in bytes."""
    with suppress(OSError, ValueError, IndexError), status.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return 1_024 * int(line.split()[1])
    return None


def larger(one: int | None, other: int | None) -> int | None:
    """The larger of two peaks, as far as they are known."""
    known = [peak for peak in (one, other) if peak is not None]
    return max(known, default=None)
