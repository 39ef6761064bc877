"""What training takes of a machine's memory, by the kernel's own high-water mark."""

import inspect
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

GUARDED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of every optimizer that PyTorch hides from its compiler."""


def leave_out_compiler() -> None:
    """Keep an eager run from loading torch.compile: 75 MB, and seconds on a small board.

    PyTorch's optimizers import the compiler only to tell it to pass them over. The mark that they
    leave on a method once that is done is put there beforehand, and AdamW's step is taken without
    the wrapper that imports it. Where another version of PyTorch is built differently, the
    compiler is loaded and nothing else changes.
    """
    with suppress(AttributeError):
        for name in GUARDED:
            plain = inspect.unwrap(getattr(torch.optim.Optimizer, name))
            if not hasattr(plain, "__dynamo_disable"):
                setattr(plain, "__dynamo_disable", plain)
        step = inspect.unwrap(torch.optim.AdamW.step)
        torch.optim.AdamW.step = torch.no_grad()(step)  # type: ignore[method-assign]


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
