"""``bench/simulate.py`` from the outside; its judging is in tests/measure/test_simulation.py."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "bench/simulate.py", "--benches", "1", "--most", "512"]


def test_it_says_at_once_how_far_it_is_and_the_table_stays_apart() -> None:
    ended = subprocess.run(
        COMMAND, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    first = ended.stderr.splitlines()[0]
    assert re.fullmatch(r"1/143 simulations, normal \[256\], 0:\d\d so far", first)
    table = ended.stdout.splitlines()
    assert len(table) == 2 + 13
    assert "simulations" not in ended.stdout


def test_on_a_terminal_each_simulation_is_told_in_one_line() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=theirs,
        stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        with suppress(OSError):  # how a terminal without a writer ends
            while part := os.read(ours, 65_536):
                said += part
    os.close(ours)
    assert process.returncode == 0, said
    told = re.findall(rb"\r\x1b\[K(\d+)/143 simulations", said)
    assert len(told) > 13 * 2
    assert b"\n" not in said
