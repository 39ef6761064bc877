"""What a loss of power could turn round: content before its name, names before a word of them."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.release.stores import Device
from tinytx.release import disk


class Ledger:
    """Follows every change of the file system and says which was announced before it was safe."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        self.synced: set[int] = set()
        self.unsafe: set[str] = set()
        """Folders with names that are not on the disk yet."""
        self.lines = 0
        self.wrong: list[str] = []
        for name in ("replace", "link", "unlink", "mkdir"):
            self._follow(name)
        write, patch_sync = os.pwrite, self._synced
        patch.setattr(os, "fsync", patch_sync)

        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/journal"):  # noqa: PTH115
                self.lines += 1
                if self.unsafe:
                    self.wrong.append(f"{data[:400]!r} before {self.unsafe} was on the disk")
            return write(descriptor, data, offset)

        patch.setattr(os, "pwrite", pwrite)

    def _synced(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        self.synced.add(facts.st_ino)
        if stat.S_ISDIR(facts.st_mode):
            self.unsafe.discard(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115

    def _follow(self, name: str) -> None:
        step = getattr(os, name)

        def followed(*arguments: Any, **options: Any) -> Any:
            if name == "replace":
                self._check_content(Path(arguments[0]))
            done = step(*arguments, **options)
            target = Path(arguments[-1] if name in ("replace", "link") else arguments[0])
            lost = (
                name == "unlink" and target.parent != self.root
            )  # what came back would do no harm
            if target.is_absolute() and not target.name.startswith(".") and not lost:
                self.unsafe.add(str(target.parent))
            return done

        self.patch.setattr(os, name, followed)

    def _check_content(self, source: Path) -> None:
        if source.is_symlink():
            return
        inside = [*source.iterdir(), source] if source.is_dir() else [source]
        self.wrong += [
            f"{path} was named before it was on the disk"
            for path in inside
            if path.stat().st_ino not in self.synced
        ]


def test_nothing_is_said_to_be_done_before_it_is_on_the_disk(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ABC":
        device.bundle(name)
    with monkeypatch.context() as patch:
        ledger = Ledger(device.root, patch)
        device.deploy("A", "B")
        device.prepare("C")
        device.switch("C")
        device.decide("it is bad")
    assert ledger.lines >= 30
    assert ledger.wrong == []


def test_a_file_that_could_not_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        disk.write(tmp_path / "file", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_hash_is_of_a_regular_file_only(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "none", "."):
        assert disk.sha256(tmp_path / name) == ""
