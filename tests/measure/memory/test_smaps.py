"""Mappings and the allocator's account, recorded and live."""

import mmap
from pathlib import Path

import pytest

from tinytx.measure.memory import process, smaps

SMAPS = """\
55d0-55d8 r-xp 00000000 fe:00 260386                     /usr/bin/my python
Size:                  8 kB
Rss:                   8 kB
Pss:                   4 kB
Anonymous:             4 kB
AnonHugePages:         0 kB
VmFlags: rd ex mr
55d8-55e0 rw-p 00000000 00:00 0                          [heap]
Rss:                  12 kB
Anonymous:            12 kB
7f00-7f10 ---p 00000000 00:00 0 
Rss:                   0 kB
Anonymous:             0 kB
7f10-7f20 r--p 00001000 fe:00 260386                     /usr/bin/my python
Rss:                  16 kB
Anonymous:             0 kB
"""  # noqa: W291


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/smaps").write_text(SMAPS)
    return tmp_path


def test_every_mapping_is_read_with_its_addresses_and_bytes(recorded: Path) -> None:
    assert list(smaps.mappings(recorded)) == [
        smaps.Mapping(0x55D0, 0x55D8, True, "/usr/bin/my python", 8_192, 4_096),
        smaps.Mapping(0x55D8, 0x55E0, True, "[heap]", 12_288, 12_288),
        smaps.Mapping(0x7F00, 0x7F10, False, "", 0, 0),
        smaps.Mapping(0x7F10, 0x7F20, True, "/usr/bin/my python", 16_384, 0),
    ]


def test_an_inventory_adds_up_and_counts_files_without_their_changed_pages(recorded: Path) -> None:
    assert smaps.inventory(recorded) == smaps.Inventory(
        rss=36_864, anonymous=16_384, files={"/usr/bin/my python": 20_480}
    )


def test_the_real_inventory_agrees_with_smaps_rollup() -> None:
    held, rollup = smaps.inventory(), process.resident()
    assert held.rss == pytest.approx(rollup.rss, rel=0.01)
    assert held.anonymous == pytest.approx(rollup.anonymous, rel=0.02)


def test_touched_anonymous_memory_is_seen_page_by_page() -> None:
    before = smaps.inventory()
    with mmap.mmap(-1, 8_000 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for page in range(0, 4_000 * mmap.PAGESIZE, mmap.PAGESIZE):
            block[page] = 1
        grown = smaps.inventory().anonymous - before.anonymous
    assert grown == pytest.approx(4_000 * mmap.PAGESIZE, rel=0.1)


def test_malloc_s_account_knows_what_is_in_use_and_what_was_freed() -> None:
    before = smaps.heap()
    if before is None:
        pytest.skip("this C library keeps no account")
    block = bytearray(50_000_000)
    during = smaps.heap()
    del block
    after = smaps.heap()
    assert during is not None and after is not None
    assert during.live - before.live == pytest.approx(50_000_000, rel=0.01)
    assert after.live - before.live < 500_000
