"""Whole files or none, whatever kills the writer; stamps that notice every change."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx import workspace
from tinytx.workspace import (
    Workspace,
    atomic_directory,
    atomic_file,
    atomic_write,
    remove_leftovers,
    sha256_file,
    write_json,
)

ROOT = Path(__file__).parents[1]
DIE = "import os, signal\ndef die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"


def child(folder: Path, script: str) -> "subprocess.Popen[bytes]":
    """A process that runs ``script`` with ``folder`` as its working directory."""
    head = (
        "from pathlib import Path\nfrom tinytx.workspace import *\nfrom tinytx import workspace\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + DIE + textwrap.dedent(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


def killed(folder: Path, script: str) -> None:
    process = child(folder, script)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, errors.decode()


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("with atomic_file(target) as f:\n    f.write(b'n' * 100_000)\n    die()", b"old"),
        ("os.fsync = die\natomic_write(target, b'new')", b"old"),
        ("Path.replace = die\natomic_write(target, b'new')", b"old"),
        ("workspace._sync_directory = die\natomic_write(target, b'new')", b"new"),
    ],
    ids=["while writing", "before the flush", "before the rename", "after the rename"],
)
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file_or_the_new(
    tmp_path: Path, instant: str, expected: bytes
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    killed(tmp_path, f"target = Path('file')\n{instant}")
    assert target.read_bytes() == expected
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [target]


def test_a_kill_at_any_moment_of_many_writes_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    source = random.Random(5)
    script = """
        while True:
            for letter in (b"a", b"b"):
                atomic_write(Path("file"), letter * 300_000)
    """
    for _ in range(4):
        process = child(tmp_path, script)
        while not target.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(source.uniform(0, 0.05))
        process.kill()
        process.communicate()
        assert target.read_bytes() in (b"a" * 300_000, b"b" * 300_000)
        target.unlink()


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("die()", "old"),
        ("workspace._take_place = die", "old"),
        ("Path.replace = die", "new"),
        ("workspace._remove = die", "new"),
    ],
    ids=["while writing", "before the swap", "never two renames", "after the swap"],
)
def test_a_kill_while_a_folder_is_replaced_leaves_the_old_folder_or_the_new(
    tmp_path: Path, instant: str, expected: str
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("whole")
    process = child(
        tmp_path,
        f"""
        with atomic_directory(Path("bundle")) as folder:
            (folder / "new").write_text("whole")
            {instant}
        die()
        """,
    )
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert [(p.name, p.read_text()) for p in target.iterdir()] == [(expected, "whole")]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_that_the_system_refuses_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    """A limit on the file size refuses like a full disk does: in the middle of the data."""
    (tmp_path / "file").write_bytes(b"old")
    process = child(
        tmp_path,
        """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            atomic_write(Path("file"), b"n" * 50_000)
        except OSError as error:
            assert "too large" in str(error), error
        else:
            raise SystemExit(3)
        """,
    )
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors.decode()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_old_and_no_temporary(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(kind), atomic_file(target) as file:
        file.write(b"half")
        raise kind
    assert target.read_bytes() == b"old"
    folder = tmp_path / "folder"
    with pytest.raises(kind), atomic_directory(folder) as new:
        (new / "half").write_text("x")
        raise kind
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_makes_the_folders_above_it_and_a_readable_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file"
    atomic_write(target, b"data")
    assert target.read_bytes() == b"data"
    assert target.stat().st_mode & 0o777 == 0o644
    with atomic_directory(tmp_path / "c" / "d") as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "c" / "d").stat().st_mode & 0o777 == 0o755


def make_file(path: Path) -> None:
    path.write_text("a file")


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("make", [make_file, make_link, Path.mkdir])
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_whatever_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    can_exchange: bool,
) -> None:
    if not can_exchange:
        monkeypatch.setattr(workspace, "_exchange", lambda *_: False)
    make(tmp_path / "bundle")
    with atomic_directory(tmp_path / "bundle") as folder:
        (folder / "new").write_text("x")
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["new"]
    assert {p.name for p in tmp_path.iterdir()} - {"elsewhere"} == {"bundle"}


def test_where_folders_cannot_be_exchanged_a_failure_between_the_renames_brings_the_old_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("x")
    real = Path.replace

    def replace(self: Path, other: Path) -> Path:
        if self.suffix == ".tmp":
            raise KeyboardInterrupt
        return real(self, other)

    monkeypatch.setattr(workspace, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt), atomic_directory(target) as folder:
        (folder / "new").write_text("x")
    assert list(tmp_path.iterdir()) == [target]
    assert [p.name for p in target.iterdir()] == ["old"]


def test_leftovers_go_and_everything_else_stays(tmp_path: Path) -> None:
    keep = [tmp_path / "a.tmp", tmp_path / ".hidden", tmp_path / "sub" / "x"]
    gone = [tmp_path / ".f.123.tmp", tmp_path / "sub" / ".f.456.tmp"]
    (tmp_path / "sub").mkdir()
    for path in [*keep, *gone]:
        path.write_text("x")
    for folder in (tmp_path / ".bundle.1.tmp", tmp_path / ".bundle.2.old"):
        folder.mkdir()
        (folder / "x").write_text("x")
    remove_leftovers(tmp_path)
    files = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert files == set(keep)
    assert not list(tmp_path.glob(".bundle*"))


def test_json_is_indented_utf8_and_never_holds_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": "ñ"})
    assert path.read_bytes() == '{\n  "a": "ñ"\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": "ñ"}


@pytest.fixture
def stamped(tmp_path: Path) -> Workspace:
    """An output directory with one finished stage."""
    space = Workspace(tmp_path)
    atomic_write(space.tokenizer, b"model")
    atomic_write(space.train_tokens, b"tokens")
    space.stamp("stage").write(
        {"size": 3, "pair": (1, 2)}, {"text": "a" * 64}, [space.tokenizer, space.train_tokens]
    )
    return space


SETTINGS, INPUTS = {"pair": [1, 2], "size": 3}, {"text": "a" * 64}


def test_a_stamp_matches_what_it_recorded(stamped: Workspace) -> None:
    assert stamped.stamp("stage").matches(SETTINGS, INPUTS)
    document = json.loads((stamped.root / "stamps" / "stage.json").read_text())
    assert document["outputs"]["tokens/train.bin"] == sha256_file(stamped.train_tokens)


def test_a_moved_output_directory_still_matches(stamped: Workspace, tmp_path: Path) -> None:
    moved = Workspace(stamped.root.rename(tmp_path.parent / "moved"))
    assert moved.stamp("stage").matches(SETTINGS, INPUTS)


@pytest.mark.parametrize(
    ("settings", "inputs"),
    [
        ({**SETTINGS, "size": 4}, INPUTS),
        ({**SETTINGS, "new": 1}, INPUTS),
        ({"size": 3}, INPUTS),
        (None, INPUTS),
        (SETTINGS, {"text": "b" * 64}),
        (SETTINGS, {}),
        (SETTINGS, {**INPUTS, "more": "c" * 64}),
    ],
)
def test_a_changed_setting_or_input_is_noticed(
    stamped: Workspace, settings: object, inputs: dict[str, str]
) -> None:
    assert not stamped.stamp("stage").matches(settings, inputs)


def swap_bit(space: Workspace) -> None:
    space.train_tokens.write_bytes(b"tokenr")


def lose(space: Workspace) -> None:
    space.train_tokens.unlink()


def make_folder(space: Workspace) -> None:
    lose(space)
    space.train_tokens.mkdir()


@pytest.mark.parametrize("tamper", [swap_bit, lose, make_folder])
def test_a_tampered_or_missing_output_is_noticed(
    stamped: Workspace, tamper: Callable[[Workspace], None]
) -> None:
    tamper(stamped)
    assert not stamped.stamp("stage").matches(SETTINGS, INPUTS)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b"3", b"{}", b'{"schema": 1}', b'{"schema": 2}']
)
def test_a_damaged_stamp_matches_nothing(stamped: Workspace, content: bytes) -> None:
    stamp = stamped.stamp("stage")
    stamp.path.write_bytes(content)
    assert not stamp.matches(SETTINGS, INPUTS)


@pytest.mark.parametrize("part", ["schema", "settings", "inputs", "outputs"])
@pytest.mark.parametrize("value", [None, 7, "x", ["x"], {"x": None}, {"x": 1}])
def test_a_stamp_with_a_foreign_part_matches_nothing(
    stamped: Workspace, part: str, value: object
) -> None:
    stamp = stamped.stamp("stage")
    document = json.loads(stamp.path.read_text())
    stamp.path.write_text(json.dumps({**document, part: value}))
    assert not stamp.matches(SETTINGS, INPUTS)


def test_a_stamp_remembers_what_made_an_output_as_long_as_it_is_that_output(
    tmp_path: Path,
) -> None:
    space = Workspace(tmp_path)
    stamp = space.stamp("tokenizer")
    assert stamp.made_with(space.tokenizer) == {}
    space.tokenizer.write_bytes(b"model")
    stamp.write({}, {}, [space.tokenizer], {"maker": "1.2"})
    assert stamp.made_with(space.tokenizer) == {"maker": "1.2"}
    assert stamp.matches({}, {})  # it decides nothing
    assert stamp.made_with(space.metrics) == {}
    space.tokenizer.write_bytes(b"another")
    assert stamp.made_with(space.tokenizer) == {}
    stamp.path.write_text('{"outputs": 3}')
    assert stamp.made_with(space.tokenizer) == {}


def test_names_that_are_no_utf8_survive_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    space = Workspace(tmp_path)
    stamp = space.stamp("corpus")
    stamp.write({"path": name}, {name: "0"}, [])
    stamp.path.read_text(encoding="utf-8")
    assert stamp.matches({"path": name}, {name: "0"})
    assert not stamp.matches({"path": "cafe"}, {name: "0"})


def test_a_removed_stamp_matches_nothing_and_may_be_removed_again(stamped: Workspace) -> None:
    stamp = stamped.stamp("stage")
    stamp.remove()
    stamp.remove()
    assert not stamp.matches(SETTINGS, INPUTS)
