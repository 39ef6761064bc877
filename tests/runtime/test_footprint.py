"""What start-up needed is given back, and nothing that was written."""

import subprocess
import sys
from pathlib import Path

import pytest

from tinytx.runtime.footprint import give_back, unchanged_file_mappings

SMAPS = """\
55d000-55f000 r--p 00000000 fe:00 11                         /usr/bin/python3
Rss:                   8 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
55f000-560000 rw-p 00002000 fe:00 11                         /usr/bin/python3
Rss:                   4 kB
Anonymous:             0 kB
560000-570000 rw-p 00000000 00:00 0                          [heap]
Rss:                  64 kB
Anonymous:            64 kB
7f0000-7f8000 r-xp 00001000 fe:00 12                         /opt/a folder/lib x.so
Rss:                  32 kB
Anonymous:             0 kB
7f8000-7f9000 r--p 00009000 fe:00 12                         /opt/a folder/lib x.so
Rss:                   4 kB
Anonymous:             4 kB
7f9000-7fa000 r-xp 0000a000 fe:00 12                         /opt/nothing resident.so
Rss:                   0 kB
Anonymous:             0 kB
7fa000-7fb000 r--s 00000000 fe:00 13                         /var/cache/shared
Rss:                   4 kB
Anonymous:             0 kB
7fb000-7fc000 r--p 00000000 00:06 14                         /dev/something
Rss:                   4 kB
Anonymous:             0 kB
7fc000-7fd000 r-xp 00000000 00:00 0
Rss:                   4 kB
Anonymous:             0 kB
7fd000-7fe000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   4 kB
Anonymous:             0 kB
7fffe000-80000000 r-xp 00000000 fe:00 15                     /usr/lib/gone.so (deleted)
Rss:                   8 kB
Anonymous:             0 kB
"""


def test_only_private_read_only_mappings_of_files_without_a_written_page_are_chosen() -> None:
    assert unchanged_file_mappings(SMAPS.splitlines(keepends=True)) == [
        (0x55D000, 0x2000),
        (0x7F0000, 0x8000),
        (0x7FFFE000, 0x2000),
    ]
    assert unchanged_file_mappings([]) == []


@pytest.mark.parametrize("made_up", ["Anonymous:             0 kB", "Anonymous: 0 kB\nRss: 0 kB"])
def test_counts_that_show_no_written_relocations_are_not_believed(made_up: str) -> None:
    """qemu's user mode reports zeros; a program without its relocations crashes."""
    lines = SMAPS.replace("Anonymous:             4 kB", made_up).splitlines()
    assert unchanged_file_mappings(lines) == []


def test_this_very_process_has_both_kinds() -> None:
    with Path("/proc/self/smaps").open() as lines:
        chosen = unchanged_file_mappings(lines)
    with Path("/proc/self/maps").open() as lines:
        files = [line for line in lines if "/" in line]
    assert 0 < len(chosen) < len(files)


PROGRAM = """
import sys
from tinytx.runtime import footprint
from tinytx.runtime.engine import Engine

def file_backed():
    with open("/proc/self/smaps_rollup") as file:
        kilobytes = dict(line.split()[:2] for line in file if "kB" in line)
    return int(kilobytes["Rss:"]) - int(kilobytes["Anonymous:"])

def logits(engine):
    engine.reset()
    return [engine.append([5, 6, 7]).tobytes(), *(engine.append([8]).tobytes() for _ in range(9))]

moments = []
give_back = footprint.give_back
footprint.give_back = lambda: moments.append("asked")
engine = Engine.load(sys.argv[1])
before, expected = file_backed(), logits(engine)
give_back()
after, again = file_backed(), logits(engine)
assert again == expected, "the same numbers afterwards"
import email.mime.text, decimal, sqlite3  # code that has not run yet still loads
assert logits(Engine.load(sys.argv[1])) == expected
assert moments == ["asked", "asked"], "once before the first session and once after it"
print(before, after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_shrinks_and_computes_the_same(tiny_bundle: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < before / 2


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("tinytx.runtime.footprint.ctypes", None)
    give_back()
