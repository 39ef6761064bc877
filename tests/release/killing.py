"""Kills a process at its n-th step on the file system: before it, or half-way through a write."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, Literal

from tinytx.release import recover

STEPS = (
    "fsync", "replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "chmod",
    "ftruncate", "pwrite",
)  # fmt: skip


From = Literal["at once", "recovery", "after recovery"]


def killed(work: Callable[[], object], number: int, since: From = "at once") -> bool:
    """Do ``work`` in a child that is killed at its step ``number`` (from 1); returns False when it
    ended before that. An error of its own fails the test. Steps count from where ``since`` says:
    how every command begins is the same, and need not be tried with each of them."""
    child = os.fork()
    if not child:
        try:
            _arm(number) if since == "at once" else _arm_later(number, since)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"ended with {code} at step {number}"
    return code != 0


def _arm_later(number: int, since: From) -> None:
    original = recover.recover

    def arming(*arguments: Any, **options: Any) -> list[str]:
        recover.recover = original
        if since == "recovery":
            _arm(number)
        done = original(*arguments, **options)
        if since == "after recovery":
            _arm(number)
        return done

    recover.recover = arming


def _arm(number: int) -> None:
    left = number

    def die_in_time() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def killing(*arguments: Any, **options: Any) -> Any:
            die_in_time()
            if name == "pwrite":  # torn in the middle, as by a loss of power
                descriptor, data, offset = arguments
                half = len(data) // 2
                step(descriptor, data[:half], offset)
                die_in_time()
            return step(*arguments, **options)

        return killing

    for name in STEPS:
        setattr(os, name, deadly(name, getattr(os, name)))
