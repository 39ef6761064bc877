"""Trains a trial in a process of its own.

What a trial leaves behind (memory, compiled kernels, a crash in a native library, the kernel's
out-of-memory killer) then ends with it, and a stopped trial needs no co-operation: it is killed.
"""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

import tinytx
from tinytx.errors import TrainingError
from tinytx.sweep.protocol import Done, Failed, Listen, Message, Task

SECRETS = ("TINYTX_STORAGE", "PGPASSWORD")
"""Variables of the environment that may hold a password."""
COMMAND = (sys.executable, "-P", "-m", "tinytx.sweep.worker")


def run(task: Task, listen: Listen, command: tuple[str, ...] = COMMAND) -> Done:
    """One trial; its process is gone when this returns or raises.

    Raises :class:`TrainingError` with the trial's own reason, and what ``listen`` raises.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which decides
            env=_environment(),
        )
        try:
            return _converse(process, task, listen, errors)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _converse(
    process: "subprocess.Popen[bytes]", task: Task, listen: Listen, errors: IO[bytes]
) -> Done:
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):  # then its output ends as well
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.flush()
    for line in process.stdout:
        try:
            message = msgspec.json.decode(line, type=Message)
        except msgspec.MsgspecError as error:
            raise TrainingError(f"the trial's process wrote no proper message ({error})") from error
        if isinstance(message, Done):
            return message
        if isinstance(message, Failed):
            raise TrainingError(message.reason, message.remedy)
        listen(message)
        with suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.flush()
    raise TrainingError(_death(process.wait(), errors))


def _death(status: int, errors: IO[bytes]) -> str:
    if status == -signal.SIGKILL:
        return "the trial's process was killed, as the kernel does when memory runs out"
    if status < 0:
        return f"the trial's process was killed by signal {-status}"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f"the trial's process ended with code {status}" + (
        f": {lines[-1][:300]}" if lines else ""
    )


def _environment() -> dict[str, str]:
    """This process's own, with this very tinytx first on the path, and without what opens the
    database of a search: a trial has no use for it."""
    own = {name: value for name, value in os.environ.items() if name not in SECRETS}
    paths = [str(Path(tinytx.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**own, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
