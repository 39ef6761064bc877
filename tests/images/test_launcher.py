"""docker/tinytx: which folder of a container may be written to, and what is said where not."""

import os
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

Mounted = Callable[..., None]


@pytest.fixture(scope="module")
def launcher() -> ModuleType:
    path = Path(__file__).parents[2] / "docker/tinytx"
    spec = spec_from_loader("launcher", SourceFileLoader("launcher", str(path)))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> Mounted:
    """Say which folders are mount points."""

    def say(*folders: str | Path) -> None:
        points = {"/", "/tmp", *map(str, folders)}
        monkeypatch.setattr(os.path, "ismount", lambda path: str(path) in points)

    return say


@pytest.mark.parametrize("new", ["new", "new/and/deep", "", "new/../other"])
@pytest.mark.parametrize("form", ["--output-dir={}", "--output-dir {}"])
@pytest.mark.parametrize("command", ["train", "export", "quickstart"])
def test_a_new_folder_below_a_mounted_one_may_be_written_to(
    launcher: ModuleType, mounted: Mounted, tmp_path: Path, new: str, form: str, command: str
) -> None:
    mounted(tmp_path)
    words = form.format(tmp_path / new).split(" ")
    assert launcher.refusal([command, *words]) is None


def test_without_a_volume_every_writing_command_is_refused(
    launcher: ModuleType, mounted: Mounted, tmp_path: Path
) -> None:
    mounted()
    for command in ("train", "export", "quickstart"):
        sentence, code = launcher.refusal([command])
        assert code == 1
        assert sentence.startswith("no volume is mounted on /data, so the model would be lost")
    mounted("/data")  # and not where it would be written
    sentence, code = launcher.refusal(["train", "--output-dir", str(tmp_path / "new")])
    assert code == 1
    assert f"no volume is mounted on {tmp_path / 'new'}" in sentence
    sentence, code = launcher.refusal(["train", "--output-dir", "/tmp/new"])
    assert code == 1


def test_a_folder_below_one_that_may_not_be_written_is_refused_with_the_remedy(
    launcher: ModuleType, mounted: Mounted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(tmp_path)
    (tmp_path / "theirs").mkdir()
    asked: list[str] = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append(str(path)) or False)
    sentence, code = launcher.refusal(["train", "--output-dir", str(tmp_path / "theirs/new/out")])
    assert code == 1
    assert asked == [str(tmp_path / "theirs")]
    assert sentence.startswith(f"{tmp_path}/theirs belongs to user {os.getuid()}")
    assert f"--entrypoint chown -v NAME:{tmp_path} IMAGE" in sentence


def test_reading_commands_need_no_volume_where_the_bundle_is_there(
    launcher: ModuleType, mounted: Mounted
) -> None:
    mounted()
    assert launcher.refusal(["verify", "/data/bundle"])[1] == 9
    assert launcher.refusal(["verify", "/elsewhere/bundle"]) is None
    assert launcher.refusal(["doctor"]) is None
    assert launcher.refusal(["train", "--help"]) is None
    assert launcher.refusal([]) is None


@pytest.mark.parametrize(
    ("arguments", "resumed"),
    [
        ([], True),
        (["--seed", "2"], True),
        (["--resume"], False),
        (["--overwrite"], False),
    ],
)
def test_an_interrupted_run_goes_on_in_whatever_folder_it_was(
    launcher: ModuleType,
    mounted: Mounted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    resumed: bool,
) -> None:
    mounted(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "last_checkpoint.pt").touch()
    words = ["tinytx", "train", "--output-dir", str(tmp_path / "out"), *arguments]
    monkeypatch.setattr(launcher.sys, "argv", words)
    monkeypatch.setattr("tinytx.cli.main.main", lambda: None)
    launcher.main()
    assert launcher.sys.argv.count("--resume") == (resumed or "--resume" in arguments)
