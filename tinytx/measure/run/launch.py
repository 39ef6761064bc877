"""Start one worker process, wait for its answer, and leave nothing behind."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

import tinytx
from tinytx.errors import BundleError, LibraryError
from tinytx.measure.limits.groups import Group
from tinytx.measure.machine import native
from tinytx.measure.policy.budgets import Quantity
from tinytx.measure.record.protocol import Answer, Task
from tinytx.measure.record.report import ProcessRun

WORKER = (sys.executable, "-P", "-m", "tinytx.measure.run.worker")
STAGED = (sys.executable, "-P", "-m", "tinytx.measure.run.memory_worker")
SIGNALS = {
    signal.SIGILL: "illegal instruction: a library in it does not run on this processor",
    signal.SIGKILL: "signal 9, as the kernel sends when memory runs out",
    signal.SIGSEGV: "signal 11: a crash in a native library",
    signal.SIGBUS: "signal 7: a crash in a native library",
    signal.SIGABRT: "signal 6: a native library gave up",
}
CRASHES = {*SIGNALS} - {signal.SIGKILL}
HUNG = "its worker process hung"


def run_worker(
    task: Task, timeout: float, command: tuple[str, ...] = WORKER, group: Group | None = None
) -> ProcessRun:
    """One task in a fresh process. Raises :class:`BundleError` when the bundle is at fault, and
    :class:`LibraryError` when a library is.

    Every other failure is part of the result, so that it reaches the report. The process and
    its children are gone when this returns or raises, after Ctrl-C as well. With a ``group`` the
    process runs inside it, and the result tells what the group saw.
    """
    if group is None:
        return _run(task, timeout, command)
    run = _run(task, timeout, group.entering(command))
    use = group.use()
    if run.trouble and use.kills:
        where = " for want of memory"
        if use.limit:
            limit = Quantity.of(use.limit, "MB")
            where = f" at the memory limit of {limit}"
            if not use.at_limit:
                where = f" before it came to its limit of {limit}: a group above, or the machine, "
                where += "had no more memory"
        return ProcessRun(trouble=f"its worker process was killed by the kernel{where}", group=use)
    return msgspec.structs.replace(run, group=use)


def _run(task: Task, timeout: float, command: tuple[str, ...]) -> ProcessRun:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
    )
    try:
        output, errors = process.communicate(msgspec.json.encode(task), timeout)
    except subprocess.TimeoutExpired:
        return ProcessRun(trouble=f"{HUNG}: no answer after {timeout:.0f} s")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
    return _understand(process.returncode, output, errors)


def _understand(status: int, output: bytes, errors: bytes) -> ProcessRun:
    if status:
        if status == 1 or -status in CRASHES:
            _try_libraries()
        return ProcessRun(trouble=f"its worker process {_death(status, errors)}")
    try:
        answer = msgspec.json.decode(output, type=Answer)
    except msgspec.MsgspecError as error:
        return ProcessRun(trouble=f"its worker process gave no proper answer ({error})")
    if answer.error_kind == BundleError.__name__:
        raise BundleError(answer.error)
    if answer.error_kind == LibraryError.__name__:
        raise LibraryError(answer.error, answer.error_remedy)
    if answer.error:
        return ProcessRun(trouble=answer.error)
    return ProcessRun(answer=answer)


def _try_libraries() -> None:
    """After a death that a library may have caused: is there one that cannot be imported?"""
    for name in native.LIBRARIES:
        tried = native.try_import(name, (sys.executable, "-P"))
        if not tried.ok:
            raise LibraryError(f"the library {name} cannot be used: {tried.found}")


def _death(status: int, errors: bytes) -> str:
    if status < 0:
        return f"was killed by {SIGNALS.get(signal.Signals(-status), f'signal {-status}')}"
    lines = errors.decode(errors="replace").strip().splitlines()
    return f"ended with code {status}" + (f": {lines[-1][:300]}" if lines else "")


def environment() -> dict[str, str]:
    """This process's own, with this very tinytx first on the path."""
    paths = [str(Path(tinytx.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
