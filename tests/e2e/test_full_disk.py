"""A disk that is full when an artifact is written: one sentence, and the old artifacts stay."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytx.cli.main import run
from tinytx.train import prerequisites

pytestmark = pytest.mark.root
PAGE = 4_096
SIZE = 8 << 20


@pytest.fixture
def small_disk(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A finished run on a file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE}", "none"]
    if subprocess.run(["mount", *options, disk], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is refused here")
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))
    shutil.copytree(tiny_run, disk / "out")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave so many bytes free (whole pages of 4,096)."""
    stuffing = disk / "stuffing"
    stuffing.touch()
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    stuffing.write_bytes(bytes(free - left))
    found = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    assert found == left


def artifacts(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flags(folder: Path) -> list[str]:
    """The settings of the finished run."""
    config = json.loads((folder / "training_metrics.json").read_bytes())["config"]
    assignments = [
        f"--set={section}.{key}={json.dumps(value)}"
        for section, values in config.items()
        for key, value in values.items()
        if value is not None
    ]
    return ["train", "--quiet", "--output-dir", str(folder), *assignments]


CASES = {
    # what is written: (stamp to remove, more flags, bytes left free, exit code, words)
    "corpus": ("corpus", [], PAGE, 2, "cannot write the corpus"),
    "tokenizer": ("tokenizer", [], PAGE, 3, "cannot write the tokenizer"),
    "tokens": ("tokens", [], PAGE, 3, "cannot write the tokens"),
    "checkpoint": (
        "training",
        ["--epochs", "1", "--overwrite"],
        16 * PAGE,
        4,
        "cannot write best_model.pt",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_ends_training_with_one_sentence_and_keeps_what_was_there(
    small_disk: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    stamp, more, left, code, words = CASES[name]
    out = small_disk / "out"
    (out / "stamps" / f"{stamp}.json").unlink()
    fill(small_disk, left)
    before = artifacts(out)
    assert run([*flags(out), *more]) == code
    stdout, err = capsys.readouterr()
    assert stdout == ""
    assert err.startswith(f"tinytx: {words}: No space left on device")
    assert len(err.splitlines()) == 1
    assert artifacts(out) == before  # the same files, and no temporary one


def test_a_disk_that_fills_up_while_the_run_is_saved_keeps_the_run_so_far(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk / "out"
    (out / "stamps" / "training.json").unlink()
    state = (out / "final_model.pt").stat().st_size * 3  # weights and two moments
    (out / "best_model.pt").unlink()
    fill(small_disk, (state // PAGE) * PAGE)  # room for a model, not for a model and the state
    assert run([*flags(out), "--epochs", "1", "--overwrite"]) == 4
    err = capsys.readouterr().err
    assert err.startswith("tinytx: cannot write last_checkpoint.pt: No space left on device")
    assert (out / "best_model.pt").exists()
    assert not list(out.rglob("*.tmp"))
    (small_disk / "stuffing").unlink()
    assert (
        run([*flags(out), "--epochs", "1", "--overwrite"]) == 0
    )  # with room again, it goes through


def test_a_full_disk_ends_the_export_with_one_sentence_and_keeps_the_old_bundle(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk / "out"
    (out / "stamps" / "export.json").unlink()
    fill(small_disk, 4 * PAGE)
    before = artifacts(out)
    assert run(["export", "--output-dir", str(out), "--quiet"]) == 6
    stdout, err = capsys.readouterr()
    assert stdout == ""
    assert err.startswith("tinytx: cannot write the bundle: No space left on device")
    assert len(err.splitlines()) == 1
    assert artifacts(out) == before
    assert run(["verify", str(out / "bundle")]) == 0


def test_an_output_directory_without_a_single_free_page_is_a_prerequisite_that_fails(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk / "out"
    fill(small_disk, 0)
    before = artifacts(out)
    assert run(flags(out)) == 1
    err = capsys.readouterr().err
    assert "cannot write into" in err
    assert "No space left on device" in err
    assert "free some space" in err
    assert artifacts(out) == before
