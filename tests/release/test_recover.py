"""What somebody did to a store by hand, or a copy did to it, is put right or refused in words."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.release.stores import Bytes, Device
from tinytx.release import clock, intake, lock, recover, states, switch, watching, work
from tinytx.release.prune import prune
from tinytx.release.status import status
from tinytx.release.store import Store

ROOT = Path(__file__).parents[2]
Harm = Callable[[Device], None]


def removed(device: Device) -> None:
    (device.root / "current").unlink()


def dangling(device: Device) -> None:
    removed(device)
    (device.root / "current").symlink_to(f"releases/{'0' * 64}")


def leading_out(device: Device) -> None:
    removed(device)
    elsewhere = device.folder / device.id("B")
    shutil.copytree(device.bundle("A"), elsewhere)
    (device.root / "current").symlink_to(elsewhere)


def copied_as_a_folder(device: Device) -> None:
    removed(device)
    shutil.copytree(device.root / "releases" / device.id("B"), device.root / "current")


@pytest.mark.parametrize("harm", [removed, dangling, leading_out, copied_as_a_folder])
def test_current_leads_to_what_is_in_force_again(device: Device, harm: Harm) -> None:
    device.deploy("A", "B")
    harm(device)
    assert "put back" in device.recover()[0]
    assert (device.root / "current").readlink() == Path("releases") / device.id("B")
    assert device.recover() == []
    device.deploy("C")
    assert device.current == "C"


def moved(device: Device, name: str) -> None:
    """By hand, to another whole release, as a switch does it and without a word in the journal."""
    (device.root / "next").symlink_to(f"releases/{device.id(name)}")
    (device.root / "next").rename(device.root / "current")


@pytest.mark.parametrize("name", ["A", "C"])
def test_current_that_was_moved_by_hand_to_a_whole_release_is_told_and_put_back(
    device: Device, name: str
) -> None:
    device.deploy("A", "B")
    device.prepare("C")  # proved, and nobody switched to it
    moved(device, name)
    with lock.held(device.store.lock, "another"):  # who may only look says it all the same
        [note] = [one for one in status(device.store, [])["notes"] if "by hand" in one]
        assert device.current == name
    assert note == (
        f"current was led to {device.id(name)[:12]} by hand, and the journal has "
        f"{device.id('B')[:12]} in force"
    )
    [words] = device.recover()
    assert words.startswith(f"{note}: {device.id('B')[:12]}: current did not lead to it any more")
    assert "deploy it, or `tinytx release rollback`" in words
    assert (device.current, device.recover()) == ("B", [])
    assert note in device.why("B")
    device.switch("C")  # the way that there is
    device.decide()
    assert device.current == "C"


def test_current_that_was_moved_by_hand_is_put_back_when_the_service_starts_and_by_the_watch(
    device: Device,
) -> None:
    device.deploy("A", "B")
    moved(device, "A")
    with lock.held(device.store.lock, "release prove"):  # a proof may take long
        [words] = recover.at_service_start(device.root)
    assert "by hand" in words
    assert device.current == "B"
    moved(device, "A")
    watching.decide(device.store)
    assert device.current == "B"


def test_a_watch_that_waits_sees_that_current_was_moved_though_the_journal_stays_as_it_is(
    device: Device,
) -> None:
    device.deploy("A", "B")
    with subprocess.Popen(watching.words(device.root, once=False), cwd=ROOT) as watch:
        try:
            until(lambda: lock.is_held(device.store.watch_lock))
            time.sleep(0.3)  # it has had its first look
            moved(device, "A")
            until(lambda: "by hand" in device.why("B"))
        finally:
            watch.kill()
    assert device.current == "B"


def until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_current_that_was_led_by_hand_where_nothing_is_in_force_is_not_served(
    device: Device,
) -> None:
    device.prepare("A")
    moved(device, "A")
    [words] = device.recover()
    assert words.endswith(
        "no release is in force: it is not served; `tinytx release switch` serves what is proved"
    )
    assert (device.current, device.recover()) == ("", [])
    device.switch("A")
    device.decide("it is bad")
    moved(device, "A")
    assert "no release is in force" in device.recover()[0]
    assert device.current == ""


def test_a_link_out_of_the_store_is_removed_where_nothing_is_in_force(device: Device) -> None:
    device.prepare("A")
    (device.root / "current").symlink_to(device.bundle("A"))
    [words] = device.recover()
    assert words.startswith("current was led to nowhere by hand, and no release is in force: ")
    assert not os.path.lexists(device.root / "current")
    assert device.recover() == []


def test_a_way_back_by_hand_from_what_is_damaged_is_kept(device: Device) -> None:
    device.deploy("C", "A", "B")
    damage(device, "B")
    (device.root / "previous").unlink()
    moved(device, "C")
    [words] = device.recover()
    assert words.endswith(f"{device.id('B')[:12]} was rolled back: it is damaged")
    assert (device.current, device.recover()) == ("C", [])


def test_where_current_leads_by_the_journal_is_where_every_step_led_it(device: Device) -> None:
    def led() -> str | None:
        return states.led(device.store.journal("test").entries())

    assert led() is None
    device.prepare("A")
    assert led() is None
    device.switch("A")
    assert led() == device.id("A")
    device.decide("bad")
    assert led() == ""
    device.deploy("B", "A")
    with work.begun(device.root, "test") as here:
        switch.roll_back(here)
    assert led() == device.id("B")
    device.prepare("C")
    journal = device.store.journal("test")
    facts = {"from": device.id("B"), "previous": ""}
    journal.add(device.id("C"), "switched", "begin", **facts)  # type: ignore[arg-type]
    assert led() == device.id("B")
    device.recover()  # interrupted in switched
    assert (led(), device.current) == (device.id("B"), "B")


def test_current_that_was_removed_leads_to_the_way_back_if_what_was_in_force_is_damaged(
    device: Device,
) -> None:
    device.deploy("A", "B")
    removed(device)
    damage(device, "B")
    assert device.recover() == [f"{device.id('B')[:12]} was rolled back: it is damaged"]
    assert (device.current, device.recover()) == ("A", [])


def test_a_release_on_trial_whose_folder_was_removed_is_taken_back(device: Device) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    folder = device.root / "releases" / device.id("B")
    folder.chmod(0o755)
    shutil.rmtree(folder)
    assert device.recover() == [f"{device.id('B')[:12]} was rolled back: its folder is gone"]
    assert device.current == "A"


def test_a_folder_in_place_of_previous_keeps_no_release_out(device: Device) -> None:
    device.deploy("A", "B")
    (device.root / "previous").unlink()
    (device.root / "previous").mkdir()
    device.deploy("C")
    assert (device.current, Store(device.root).target(device.root / "previous")) == (
        "C", device.id("B"),
    )  # fmt: skip


def damage(device: Device, name: str) -> None:
    path = device.root / "releases" / device.id(name) / "model.onnx"
    path.chmod(0o644)
    path.write_bytes(b"x")


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_damaged_release_is_repaired_by_the_commands_that_brought_it(
    device: Device, name: str
) -> None:
    device.deploy("A", "B")
    damage(device, name)
    (missing,) = device.offer(name).missing
    data = (device.bundle(name) / missing.name).read_bytes()
    store = recover.opened(device.root, "release receive")  # as the command begins
    intake.receive(store, missing.sha256, missing.size, missing.held, Bytes(data))
    device.install(name)
    assert store.is_whole(device.id(name))
    assert device.current == "B"
    assert list(store.incoming.iterdir()) == []


def test_a_folder_among_what_comes_does_not_keep_old_releases_here(device: Device) -> None:
    device.deploy("A", "B", "C")
    (device.root / "incoming" / "mine").mkdir()
    os.utime(device.root / "incoming" / "mine", (0, 0))
    with work.begun(device.root, "test") as here:
        assert prune(here.store, here.journal, 2).releases == [device.id("A")]


def test_a_service_that_lives_is_not_taken_for_dead_when_a_second_one_starts(
    device: Device,
) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    store = device.store
    told = f'{{"release": "{device.id("B")}", "pid": 1, "boot": "{clock.boot()}", "since": 1}}'
    store.serving.write_text(told)
    with lock.held(store.serve_lock, "serve"):
        assert recover.at_service_start(device.root) == []
    assert device.current == "B"
    assert recover.at_service_start(device.root) == [
        f"{device.id('B')[:12]} was rolled back: {recover.DIED}"
    ]
    assert states.on_trial(store.journal("test").entries()) is None


def test_a_journal_whose_lines_of_the_switch_are_damaged_commits_nothing(device: Device) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    *before, begun, done = (device.root / "journal").read_bytes().splitlines(keepends=True)
    (device.root / "journal").write_bytes(b"".join(before) + b"\0" * len(begun + done) + b"\n")
    device.recover()
    trial = states.on_trial(device.store.journal("test").entries())
    assert trial is not None and trial.release == device.id("B")
    device.decide("it was no good")
    assert device.current == "A"


@pytest.mark.parametrize("name", ["journal", "device.toml", "allowed_signers", "watch.lock"])
def test_a_pipe_that_the_owner_put_into_the_store_keeps_nobody_waiting(
    device: Device, name: str
) -> None:
    device.deploy("A")
    (device.root / name).unlink(missing_ok=True)
    os.mkfifo(device.root / name)
    command = "from tinytx.cli.main import main; main()"
    words = [sys.executable, "-c", command, "release", "--store", str(device.root), "status"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    if name != "watch.lock":
        assert "it is not a regular file" in done.stdout + done.stderr
