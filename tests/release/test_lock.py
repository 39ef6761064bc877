"""Locks: the living are named, the dead hold nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinytx.errors import DeviceError
from tinytx.release import lock

HOLD = """
import sys, time
from pathlib import Path
from tinytx.release import lock
with lock.held(Path(sys.argv[1]), "release install"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_lock_names_who_and_since_when_and_a_dead_holder_holds_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(
            DeviceError, match=rf"`tinytx release install` \(process {other.pid} on .*, since 2"
        ) as caught,
        lock.held(path, "release switch", patience=0.0),
    ):
        pass
    assert caught.value.exit_code == 10
    who = lock.holder(path)
    assert who is not None
    assert who["command"] == "release install"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lock.holder(path) is None
    with lock.held(path, "release switch", patience=0.0):
        assert (lock.holder(path) or {})["pid"] == os.getpid()
    assert lock.holder(path) is None


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[1]", b"\x00" * 100])
def test_a_holder_whose_words_cannot_be_read_is_still_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    with lock.held(path, "release install"):
        path.write_bytes(content)
        with (
            pytest.raises(DeviceError, match="another tinytx is at work on the store"),
            lock.held(path, "release switch", patience=0.0),
        ):
            pass


def test_a_child_of_the_holder_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path, "release switch"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert not lock.is_held(path)
    finally:
        child.kill()
        child.wait()
