"""The server under load: one of our own in a fresh process, or one that listens already."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tinytx.errors import DeviceError, PrerequisiteError, TinytxError, UsageError
from tinytx.measure.load.client import Target, fetch, target_of
from tinytx.measure.memory import process
from tinytx.measure.run.launch import environment

STARTING = 120.0
"""Seconds that a server may take until it listens."""
ENDING = 40.0
"""The same until it has ended after SIGTERM."""
CODE = (
    "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "from tinytx.cli.main import main; main()"
)
"""Dies when the bench that started it dies."""
COMMAND = (sys.executable, "-P", "-c", CODE, "serve")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of the server's process, after the load; in bytes."""

    rss: int = 0
    peak: int = 0
    """VmHWM, from its start on."""
    trouble: str = ""
    """Why it is not known."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Which server, and what it says of itself."""

    address: str
    ours: bool
    """Whether the bench started it."""
    pid: int | None
    """None where its process cannot be seen from here."""
    release: str
    precision: str
    slots: int | None = None
    context: int = 0
    """Tokens that a prompt and its answer may have together."""


@contextmanager
def started(
    bundle: Path, flags: Sequence[str], command: Sequence[str] = COMMAND
) -> Iterator[tuple[Target, int]]:
    """`tinytx serve BUNDLE` in a fresh process on a free port, ended afterwards.

    Raises what it ended with: its own sentence, its own exit code.
    """
    with tempfile.TemporaryFile("w+") as errors:
        running = subprocess.Popen(
            [*command, str(bundle), "--port", "0", "--json", "--quiet", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            start_new_session=True,
        )
        try:
            address = _address(running)
            if not address:
                raise _failure(running, errors)
            yield target_of(address), running.pid
        finally:
            _end(running)


def _address(running: "subprocess.Popen[bytes]") -> str:
    """Where it listens, as its JSON says; empty when it ended or took too long."""
    assert running.stdout is not None
    deadline, text = time.monotonic() + STARTING, b""
    with selectors.DefaultSelector() as selector:
        selector.register(running.stdout, selectors.EVENT_READ)
        while selector.select(max(deadline - time.monotonic(), 0.0)):
            part = os.read(running.stdout.fileno(), 65_536)
            if not part:
                return ""
            text += part
            with suppress(ValueError):
                return str(json.loads(text)["address"])
    return ""


def _failure(running: "subprocess.Popen[bytes]", errors: Any) -> TinytxError:
    with suppress(subprocess.TimeoutExpired):
        running.wait(1.0)
    errors.seek(0)
    lines = [line for line in errors.read().splitlines() if line.strip()]
    if running.returncode is None:
        return DeviceError(f"`tinytx serve` did not listen within {STARTING:.0f} s")
    told = " ".join(lines[-2:])[:400] or f"it ended with code {running.returncode}"
    error = TinytxError(f"`tinytx serve` did not start: {told.removeprefix('error: ')}")
    error.exit_code = running.returncode if 0 < running.returncode < 128 else 70
    return error


def _end(running: "subprocess.Popen[bytes]") -> None:
    running.terminate()
    try:
        running.wait(ENDING)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    finally:
        if running.stdout is not None:
            running.stdout.close()


async def asked(target: Target, pid: int | None, ours: bool) -> Serving:
    """What the server says of itself. Raises :class:`DeviceError` when nobody answers there, or
    nobody of ours, and :class:`UsageError` when the token is missing or wrong."""
    _, body = await fetch(target, "GET", "/health")
    status, cards = await fetch(target, "GET", "/v1/models")
    if status == 401:
        raise UsageError(f"{target} wants a token", "give it: --token-file FILE")
    try:
        health, card = json.loads(body), json.loads(cards)["data"][0]
        if not card["owned_by"] == "tinytx":
            raise ValueError
        state = str(health["status"])
        serving = Serving(
            address=str(target),
            ours=ours,
            pid=pid,
            release=str(card["bundle"]),
            precision=str(card["precision"]),
            slots=health.get("slots"),
            context=int(card["max_model_len"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DeviceError(
            f"what answers at {target} is not `tinytx serve`",
            "measure that with another tool: release, precision and slots are not known of it",
        ) from error
    if state != "ok":
        raise DeviceError(f"the server at {target} takes no requests now: {state}")
    return serving


def memory_of(serving: Serving, proc: Path = process.PROC) -> Memory:
    """What the process holds now, and its peak."""
    if serving.pid is None:
        return Memory(trouble="the server's process cannot be seen from here")
    try:
        held = process.resident(proc, str(serving.pid))
        return Memory(rss=held.rss, peak=process.high_water(proc, str(serving.pid)))
    except PrerequisiteError as error:
        return Memory(trouble=error.message)


def ticks_of(pid: int | None, proc: Path = process.PROC) -> int:
    """Processor time of a process in clock ticks; 0 where it cannot be seen."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def listening_process(target: Target, proc: Path = process.PROC) -> int | None:
    """The `tinytx serve` on this machine that listens at the target's port; None when there is
    none that may be seen (another machine's, a container's, another user's)."""
    if target.host not in ("127.0.0.1", "localhost", "::1"):
        return None
    inodes = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == target.port:
                    inodes.add(f"socket:[{words[9]}]")
    for folder in proc.glob("[0-9]*"):
        if inodes and _is_ours(folder) and _holds(folder, inodes):
            return int(folder.name)
    return None


def _is_ours(folder: Path) -> bool:
    """By its command line: a proxy in front of a container holds the port as well."""
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"serve" in words and any(b"tinytx" in word for word in words)


def _holds(folder: Path, inodes: set[str]) -> bool:
    try:
        return any(str(one.readlink()) in inodes for one in (folder / "fd").iterdir())
    except OSError:
        return False
