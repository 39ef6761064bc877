"""Where a store can be and where it cannot: one sentence each, exit code 10, nothing lost."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EPERM
from pathlib import Path

import pytest

from tests.release.stores import Device
from tinytx.cli.main import run
from tinytx.errors import DeviceError, UsageError
from tinytx.release import store as stores
from tinytx.release import work
from tinytx.release.store import Store, open_store

Disk = Callable[..., Path]


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 10) -> str:
    """What a command says that ends with ``code``: one sentence, and perhaps what to do."""
    capsys.readouterr()
    assert run(["release", *words]) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) <= 2, err
    assert lines[0].startswith("tinytx: ")
    return lines[0].removeprefix("tinytx: ")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Disk]:
    """Mounts a small file system: ``tmpfs`` with options, or a file formatted by a program."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    disks = []

    def mount(kind: str, options: str = "", *, format_with: tuple[str, ...] = ()) -> Path:
        disk = tmp_path / f"disk{len(disks)}"
        disk.mkdir()
        source, words = "none", [*(["-o", options] if options else [])]
        if format_with:
            image = tmp_path / "image"
            image.touch()
            os.truncate(image, 8 << 20)
            if shutil.which(format_with[0]) is None:
                pytest.skip(f"{format_with[0]} is not installed")
            subprocess.run([*format_with, image], capture_output=True, check=True)
            source, words = str(image), ["-o", f"loop{',' if options else ''}{options}"]
        command = ["mount", "-t", kind, *words, source, disk]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"mounting {kind} is refused here")
        disks.append(disk)
        return disk

    yield mount
    for disk in disks:
        subprocess.run(["umount", disk], check=True)


def test_a_store_is_found_by_option_then_variable_then_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TINYTX_STORE", raising=False)
    assert stores.find(None) == Path("/var/lib/tinytx")
    monkeypatch.setenv("TINYTX_STORE", str(tmp_path / "b"))
    assert stores.find(None) == tmp_path / "b"
    assert stores.find(tmp_path / "a") == tmp_path / "a"


def test_a_store_that_is_not_there_is_said_and_not_made_by_who_only_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["status"], ["recover"], ["rollback"], ["prune"]):
        assert refused(capsys, "--store", str(tmp_path / "no"), *words) == (
            f"there is no store at {tmp_path / 'no'}"
        )
    assert not (tmp_path / "no").exists()


def test_a_file_in_the_place_of_the_store_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    said = refused(capsys, "status", "--store", str(tmp_path / "file"))
    assert said == f"there is no store at {tmp_path / 'file'}"


def test_a_store_of_another_user_is_refused_and_the_user_is_named(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy("A")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(DeviceError) as caught:
        open_store(device.root)
    assert caught.value.message.startswith(f"the store {device.root} belongs to ")
    assert caught.value.message.endswith("and this is user 12345")
    assert "sudo -u" in caught.value.remedy


def test_who_may_only_look_is_told_the_state_and_why_nothing_was_recovered(
    device: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device.deploy("A")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert run(["release", "status", "--store", str(device.root)]) == 0
    out = capsys.readouterr().out
    assert f"serves {device.id('A')}" in out
    assert "note: the store" in out


@pytest.mark.parametrize("step", ["symlink", "link"])
def test_where_links_are_refused_nothing_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(EPERM, os.strerror(EPERM))

    (folder / "store").mkdir()
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(DeviceError, match=r"has no links \(Operation not permitted\)"):
        open_store(folder / "store", create=True)
    assert list((folder / "store").iterdir()) == []


@pytest.mark.root
def test_a_file_system_without_links_is_refused_before_anything_else(
    mounted: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = mounted("vfat", format_with=("mkfs.vfat",))
    said = refused(capsys, "recover", "--store", str(disk))
    assert said.startswith(f"the file system of {disk} has no links (Operation not permitted)")
    assert list(disk.iterdir()) == []


@pytest.mark.root
def test_a_read_only_store_is_shown_and_not_changed(
    mounted: Disk, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = mounted("tmpfs")
    there = Device(disk / "store", device.folder)
    there.deploy("A")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = refused(capsys, "rollback", "--store", str(there.root))
    assert said.startswith(f"cannot use the store {there.root}: Read-only file system")
    assert run(["release", "status", "--store", str(there.root)]) == 0
    assert f"serves {device.id('A')}" in capsys.readouterr().out


SMALL = "size=3m,nr_inodes=300"


def fill(disk: Path) -> Path:
    """Take every free byte, and every name that could still be given."""
    stuffing = disk / "stuffing"
    stuffing.mkdir()
    with suppress(OSError), (stuffing / "bytes").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    with suppress(OSError):
        for number in range(1_000):
            (stuffing / str(number)).touch()
    return stuffing


@pytest.mark.root
@pytest.mark.parametrize("step", ["install", "switch"])
def test_a_full_disk_ends_a_step_with_one_sentence_and_the_old_release_stays(
    mounted: Disk, device: Device, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    disk = mounted("tmpfs", SMALL)
    there = Device(disk / "store", device.folder)
    there.deploy("A")
    there.send("B")
    if step == "switch":
        there.install("B")
        there.prove("B")
    stuffing = fill(disk)
    said = refused(capsys, step, there.id("B"), "--store", str(there.root))
    assert "No space left on device" in said
    assert there.current == "A"
    shutil.rmtree(stuffing)
    there.prepare("B")
    there.switch("B")
    assert there.current == "B"


@pytest.mark.root
def test_a_disk_that_fills_up_after_the_switch_does_not_bar_the_way_back(
    mounted: Disk, device: Device
) -> None:
    disk = mounted("tmpfs", SMALL)
    there = Device(disk / "store", device.folder)
    there.deploy("A")
    there.prepare("B")
    there.switch("B")
    fill(disk)
    there.decide("it is bad")
    assert there.current == "A"
    assert there.why("B") == "it is bad"
    assert there.store.is_whole(there.id("A"))


@pytest.mark.parametrize("text", ["1234567", "zz" * 32, "", "../..", "ABCDEF0123"])
def test_what_names_no_release_is_wrong_usage(device: Device, text: str) -> None:
    device.deploy("A")
    with pytest.raises(UsageError, match="names no release of this store"):
        device.store.resolve(text)


def test_a_release_may_be_called_by_the_beginning_of_its_id(device: Device) -> None:
    device.deploy("A")
    device.offer("B")
    for name in "AB":
        assert device.store.resolve(device.id(name)[:8]) == device.id(name)


def test_a_link_that_somebody_else_made_is_no_release(device: Device) -> None:
    device.deploy("A")
    (device.root / "current").unlink()
    (device.root / "current").symlink_to("/etc")
    assert Store(device.root).target(device.root / "current") == ""


def test_a_store_may_lie_behind_a_link(device: Device, folder: Path) -> None:
    device.deploy("A")
    (folder / "link").symlink_to(device.root)
    with work.begun(folder / "link", "test") as here:
        assert here.store.is_whole(here.store.target(here.store.current))
