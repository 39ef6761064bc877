"""What comes in: cut, wrong, twice, too much, too slowly."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.release.stores import Bytes, Device, made
from tinytx import bundle as bundles
from tinytx.errors import BundleError, DeviceError
from tinytx.release import disk, intake, lock
from tinytx.release.store import Store


@pytest.fixture
def offered(device: Device) -> tuple[Store, intake.Missing, bytes]:
    """A store to which A was offered, its graph, and the bytes of that."""
    offer = device.offer("A")
    one = next(m for m in offer.missing if m.name == "model.onnx")
    return Store(device.root), one, (device.bundle("A") / one.name).read_bytes()


Offered = tuple[Store, intake.Missing, bytes]


def take(offered: Offered, data: bytes, offset: int = 0, **options: bool) -> int:
    store, one, _ = offered
    return intake.receive(store, one.sha256, one.size, offset, Bytes(data, **options))


def cut(offered: Offered, data: bytes, offset: int = 0, **options: bool) -> intake.Cut:
    with pytest.raises(intake.Cut) as caught:
        take(offered, data, offset, **options)
    return caught.value


def arrived(offered: Offered) -> bool:
    store, one, _ = offered
    return (store.incoming / one.sha256).exists()


def test_everything_of_a_first_release_is_missing_and_nothing_of_one_that_is_here(
    device: Device,
) -> None:
    assert device.send("A") == ["golden.json", "model.onnx", "tokenizer.model"]
    device.install("A")
    offer = device.offer("A")
    assert (offer.known, offer.missing) == (True, [])


def test_what_another_release_has_by_hash_is_not_sent_again_and_is_stored_once(
    device: Device,
) -> None:
    device.deploy("A")
    assert device.send("B") == ["golden.json", "model.onnx"]
    assert device.install("B").linked == 1
    one, other = (device.store.release(device.id(n)) / "tokenizer.model" for n in "AB")
    assert one.samefile(other)


def test_a_file_that_was_damaged_in_another_release_is_sent_again(device: Device) -> None:
    device.deploy("A")
    shared = device.store.release(device.id("A")) / "tokenizer.model"
    shared.chmod(0o644)
    shared.write_bytes(shared.read_bytes()[:-1] + b"x")
    assert "tokenizer.model" in device.send("B")
    device.install("B")
    assert device.store.is_whole(device.id("B"))


def test_a_file_that_came_for_a_release_that_was_never_installed_counts_for_the_next(
    device: Device,
) -> None:
    device.send("A")
    assert device.send("B") == ["golden.json", "model.onnx"]


@pytest.mark.parametrize("kept", [0, 1, 700, -1])
def test_a_cut_transfer_goes_on_where_it_stopped(offered: Offered, kept: int) -> None:
    _, one, data = offered
    kept %= len(data)
    error = cut(offered, data[:kept])
    assert (error.kind, error.held, error.exit_code) == ("cut", kept, 10)
    assert not arrived(offered)
    assert take(offered, data[kept:], kept) == one.size
    assert arrived(offered)


def test_the_next_offer_names_what_is_held_and_its_hash(device: Device, offered: Offered) -> None:
    _, _, data = offered
    cut(offered, data[:700])
    one = next(m for m in device.offer("A").missing if m.name == "model.onnx")
    assert (one.held, one.held_sha256) == (700, hashlib.sha256(data[:700]).hexdigest())


@pytest.mark.parametrize("offset", [0, 699, 701, 10**9])
def test_another_offset_than_what_is_held_is_refused_and_nothing_is_lost(
    offered: Offered, offset: int
) -> None:
    _, _, data = offered
    cut(offered, data[:700])
    error = cut(offered, data[offset:], offset)
    assert (error.kind, error.held) == ("offset", 700)
    assert take(offered, data[700:], 700) == len(data)


def test_a_wrong_first_half_is_found_at_the_end_and_thrown_away(offered: Offered) -> None:
    _, _, data = offered
    cut(offered, b"x" * 700)
    error = cut(offered, data[700:], 700)
    assert (error.kind, error.held, error.exit_code) == ("hash", 0, 10)
    assert not arrived(offered)
    assert take(offered, data) == len(data)


def test_more_bytes_than_were_told_are_refused(offered: Offered) -> None:
    _, _, data = offered
    assert cut(offered, data + b"x").kind == "length"
    assert not arrived(offered)
    assert take(offered, data) == len(data)


def test_silence_ends_a_transfer_and_what_came_is_kept(offered: Offered) -> None:
    error = cut(offered, offered[2][:700], silent=True)
    assert (error.kind, error.held) == ("idle", 700)


def test_a_part_longer_than_the_file_is_not_gone_on_with(device: Device, offered: Offered) -> None:
    store, one, data = offered
    (store.incoming / f"{one.sha256}.part").write_bytes(data + b"more")
    assert {m.held for m in device.offer("A").missing} == {0}
    assert take(offered, data) == len(data)


def test_a_file_that_is_here_is_not_read_again(offered: Offered) -> None:
    _, one, data = offered
    take(offered, data)
    assert take(offered, b"") == one.size


@pytest.mark.parametrize(
    ("sha256", "more"), [("", 1), ("0" * 64, 0), ("../../etc/passwd", 0), ("A" * 64, 0)]
)
def test_a_file_that_no_offered_release_has_is_refused(
    offered: Offered, sha256: str, more: int
) -> None:
    store, one, _ = offered
    with pytest.raises(BundleError, match="no offered release has a file of") as caught:
        intake.receive(store, sha256 or one.sha256, one.size + more, 0, Bytes(b""))
    assert caught.value.exit_code == 9


def test_a_link_in_the_place_of_a_part_is_not_followed(offered: Offered, tmp_path: Path) -> None:
    store, one, data = offered
    (tmp_path / "other").write_bytes(b"keep")
    (store.incoming / f"{one.sha256}.part").symlink_to(tmp_path / "other")
    with pytest.raises(DeviceError, match="cannot receive the file"):
        take(offered, data)
    assert (tmp_path / "other").read_bytes() == b"keep"


def test_a_disk_without_room_is_said_before_anything_is_written(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1_000)
    with pytest.raises(DeviceError, match="too full: 1,000 bytes are free"):
        take(offered, offered[2])


def test_two_transfers_at_once_are_refused_and_the_first_is_named(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = offered[0]
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with (
        lock.held(store.receive_lock, "release receive of another"),
        pytest.raises(DeviceError, match=r"`tinytx release receive of another` \(process \d+ on"),
    ):
        take(offered, offered[2])


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"[" * 5_000, b"null"])
def test_a_manifest_that_is_none_is_refused_and_not_kept(device: Device, raw: bytes) -> None:
    with pytest.raises(BundleError, match="the offered manifest"):
        intake.offer(device.store, raw)
    assert list(device.store.incoming.iterdir()) == []


def test_a_manifest_without_its_last_byte_is_refused(device: Device, tmp_path: Path) -> None:
    raw = (made(tmp_path / "bundle", "A") / bundles.MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="was changed after it was written"):
        intake.offer(device.store, raw[:-1])


def test_a_sender_that_falls_silent_or_is_killed_leaves_a_part_that_goes_on(
    device: Device, offered: Offered
) -> None:
    """The real command, fed by a pipe that stays open, then by one whose writer dies."""
    store, one, data = offered
    command = [
        sys.executable, "-m", "tinytx.cli.main", "release", "--store", str(store.root), "receive",
        one.sha256, "--size", str(one.size),
    ]  # fmt: skip
    reader, writer = os.pipe()
    os.write(writer, data[:500])
    idle = subprocess.run(
        [*command, "--idle", "0.3"], stdin=reader, capture_output=True, text=True, check=False
    )
    os.close(reader), os.close(writer)
    assert idle.returncode == 10
    assert json.loads(idle.stdout) == {
        "sha256": one.sha256, "held": 500, "done": False, "error": "idle",
    }  # fmt: skip
    assert idle.stderr.startswith("tinytx: nothing came for 0.3 s; 500 of")
    sending = subprocess.Popen([*command, "--offset", "500"], stdin=subprocess.PIPE)
    assert sending.stdin is not None
    sending.stdin.write(data[500:900])
    sending.stdin.flush()
    while (store.incoming / f"{one.sha256}.part").stat().st_size < 500:
        time.sleep(0.01)
    sending.kill()
    sending.wait()
    held = next(m.held for m in device.offer("A").missing if m.name == one.name)
    assert 500 <= held <= 900
    done = subprocess.run(
        [*command, "--offset", str(held)], input=data[held:], capture_output=True, check=False
    )
    assert json.loads(done.stdout) == {"sha256": one.sha256, "held": one.size, "done": True}
