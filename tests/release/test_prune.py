"""What is removed, and what never is."""

import os
import time

from tests.release.stores import Device
from tinytx.release import prune, work


def pruned(device: Device, keep: int) -> prune.Pruned:
    with work.begun(device.root, "test") as here:
        return prune.prune(here.store, here.journal, keep)


def here(device: Device) -> set[str]:
    return {name for name in "ABCDE" if device.store.release(device.id(name)).is_dir()}


def test_the_oldest_releases_go_with_what_was_said_about_them(device: Device) -> None:
    device.deploy("A", "B", "C", "D")
    for name in "AD":
        (device.store.statements / f"{device.id(name)}.json").touch()
    gone = pruned(device, 3).releases
    assert gone == [device.id("A")]
    assert here(device) == {"B", "C", "D"}
    assert [p.stem for p in device.store.statements.iterdir()] == [device.id("D")]
    assert device.id("A") not in {p.stem for p in device.store.proofs.iterdir()}


def test_what_is_served_the_way_back_and_what_is_on_its_way_stay(device: Device) -> None:
    device.deploy("A", "B", "C")
    device.prepare("D")
    device.switch("D")
    pruned(device, 2)
    assert here(device) == {"C", "D"}
    device.decide("it is bad")
    assert device.current == "C"


def test_what_was_begun_and_left_is_rolled_back_when_it_is_removed(device: Device) -> None:
    device.prepare("E")
    device.deploy("A", "B", "C")
    pruned(device, 2)
    assert here(device) == {"B", "C"}
    assert device.why("E") == "pruned"


def test_a_shared_file_stays_for_those_that_share_it(device: Device) -> None:
    device.deploy("A", "B", "C")
    pruned(device, 2)
    assert all(device.store.is_whole(device.id(name)) for name in "BC")


def test_parts_that_nobody_went_on_with_for_a_week_go(device: Device) -> None:
    device.offer("A")
    old, new = (device.store.incoming / f"{digit * 64}.part" for digit in "01")
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    assert pruned(device, 2).files == [old.name]
    assert new.exists()
