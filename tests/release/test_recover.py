"""What somebody did to a store by hand, or a copy did to it, is put right or refused in words."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.release.stores import Bytes, Device
from tinytx.release import clock, intake, lock, recover, states, work
from tinytx.release.prune import prune
from tinytx.release.store import Store

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
