"""The one place that runs a command: limits, counted bytes, nothing left behind."""

import io
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tinytx.errors import PrerequisiteError
from tinytx.remote.run import MOST_WORDS, Limits, Stopped, run

SHORT = Limits(total=10.0)


def alive(path: Path) -> bool:
    """Whether the process whose id is in the file lives."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", path.read_text().strip()], capture_output=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith(b"Z")


def test_bytes_arrive_are_counted_and_the_answer_and_the_words_are_kept_apart() -> None:
    data, told = os.urandom(300_000), []
    ended = run(
        ["sh", "-c", "cksum; echo words >&2; exit 3"],
        io.BytesIO(data),
        limits=SHORT,
        progress=told.append,
    )
    expected = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
    assert (ended.code, ended.out, ended.err) == (3, expected, "words\n")
    assert ended.sent == told[-1] == len(data)
    assert ended.limit == ""


def test_a_reader_that_has_enough_is_no_trouble_and_what_it_took_is_counted() -> None:
    ended = run(["sh", "-c", "head -c 10"], io.BytesIO(b"x" * 5_000_000), limits=SHORT)
    assert (ended.code, ended.out) == (0, b"x" * 10)
    assert ended.sent < 5_000_000


@pytest.mark.parametrize(
    ("limits", "limit"),
    [(Limits(total=0.3), "total"), (Limits(total=30.0, idle=0.3), "idle")],
)
def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, limits: Limits, limit: str
) -> None:
    child = tmp_path / "child"
    script = f"trap '' TERM; sleep 60 & echo $! > {child}; wait; wait"
    ended = run(["bash", "-c", script], io.BytesIO(b"x" * 5_000_000), limits=limits)
    assert ended.limit == limit
    assert ended.code < 0
    assert not alive(child)


def test_a_child_that_holds_the_pipes_open_does_not_hold_us(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; echo done"
    ended = run(["sh", "-c", script], limits=Limits(total=30.0))
    os.kill(int(child.read_text()), 9)
    assert (ended.code, ended.out, ended.limit) == (0, b"done\n", "")


def test_a_talkative_end_is_cut_off() -> None:
    ended = run(
        ["sh", "-c", "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2"], limits=SHORT
    )
    assert ended.code == 0
    assert MOST_WORDS <= len(ended.out) < 2 * MOST_WORDS
    assert len(ended.err) < 2 * MOST_WORDS


def test_when_told_to_stop_it_ends_what_runs() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        run(["sleep", "60"], limits=Limits(total=90.0), stop=stop)
    assert time.monotonic() - began < 60


def test_a_command_that_is_not_installed_is_said() -> None:
    with pytest.raises(PrerequisiteError, match="cannot start no-such-command"):
        run(["no-such-command"], limits=SHORT)
