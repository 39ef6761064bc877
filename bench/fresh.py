"""Runs a command in a fresh process and tells its time, its memory and when it said what.

Memory is the kernel's high-water mark of every process (``VmHWM`` of /proc/PID/status). The main
process's is read until it ends; the sum over those alive at one time is read every 20 ms, and is
an upper bound of what they held together (each one's own peak counts in full).
"""

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY = 0.02  # seconds


@dataclass
class Run:
    """What one run of a command was."""

    code: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    """Of the process itself."""
    tree_peak_bytes: int = 0
    """Of the process and its children that were alive at the same time."""
    processes: int = 0
    """The most that were alive at the same time."""
    lines: list[tuple[float, str]] = field(default_factory=list)
    """Seconds since the start, and a line of its output."""
    output: str = ""


def high_water(pid: int) -> int:
    """VmHWM in bytes; 0 when the process has gone."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1_024 * int(match[1]) if match else 0


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, until: str = ""
) -> Run:
    """Run to the end, or until a line holds ``until``; both streams together are its output."""
    result, began = Run(), time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    reader = threading.Thread(target=_read, args=(process, result, began))
    reader.start()
    while process.poll() is None:
        _look(process.pid, result)
        if until and any(until in line for _, line in result.lines):
            process.terminate()
            until = ""
        time.sleep(EVERY)
    result.seconds, result.code = time.perf_counter() - began, process.returncode
    reader.join()
    result.output = "\n".join(line for _, line in result.lines)
    return result


def _read(process: "subprocess.Popen[str]", result: Run, began: float) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        result.lines.append((time.perf_counter() - began, line.rstrip("\n")))


def _look(pid: int, result: Run) -> None:
    own = high_water(pid)
    try:
        children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        children = []
    result.peak_bytes = max(result.peak_bytes, own)
    # a child that has not become a program of its own yet (vfork) is in its parent's memory
    held = [peak for peak in map(high_water, children) if peak != own]
    result.tree_peak_bytes = max(result.tree_peak_bytes, own + sum(held))
    result.processes = max(result.processes, 1 + len(children))
