"""docs/guide/08-troubleshooting.md: every message is brought about, and every remedy applied.

What a test machine lacks (a Raspberry Pi, a full card, a graphics card's wheels) is told to the
program by recorded files of /proc and /sys, by stand-ins for an interpreter, or by wheels of our
own; what the program says to that is its own.
"""

import errno
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import small_text
from tests.docs.entries import TESTED, TEXTS, Entry, entry_of, package_index, pip, wheel
from tests.measure.conftest import MACHINES
from tests.serve.process import serving
from tinytx.cli.main import run
from tinytx.measure import doctor
from tinytx.measure.machine import conditions
from tinytx.measure.machine.facts import Machine, observe
from tinytx.packages import requirement
from tinytx.train import prerequisites, waiting

SMALL = """
[model]
layers = 1
width = 32
heads = 2
hidden = 48
pair_rows = 500
max_seq_length = 48
[tokenizer]
vocab_size = 320
[training]
epochs = 1
batch_size = 8
precision = "float32"
compile = "off"
threads = 1
"""
Shown = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
def entry(request: pytest.FixtureRequest) -> Entry:
    """The entry that the test is of."""
    return Entry(request.function.title)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder with texts and a small configuration, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prerequisites.check_disk, "__defaults__", (1,))
    Path("small.toml").write_text(SMALL)
    Path("book.txt").write_text(small_text(900))
    return tmp_path


@pytest.fixture
def bundled(home: Path, tiny_bundle: Path) -> Path:
    """The same with a bundle at out/bundle."""
    (home / "out").mkdir()
    (home / "out" / "bundle").symlink_to(tiny_bundle)
    return home


def train(*flags: str) -> int:
    return run(["train", "--config", "small.toml", "--quiet", "--corpus-path", *flags])


def recorded(folder: Path, name: str, changes: dict[str, str] | None = None) -> Path:
    """The root of a recorded machine: its files of /proc and /sys."""
    for path, text in {**MACHINES[name], **(changes or {})}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture
def ask_doctor(tmp_path: Path, monkeypatch: Patch, capsys: Shown) -> Callable[..., str]:
    """What `tinytx doctor` says on a recorded machine whose interpreter is a shell script."""
    diagnose = doctor.diagnose
    monkeypatch.setattr("platform.machine", lambda: "aarch64")

    def ask(root: Path, script: str = "echo 1.0") -> str:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr(doctor, "diagnose", lambda: diagnose(root, tmp_path, [str(python)]))
        run(["doctor"])
        return capsys.readouterr().err

    return ask


def test_every_entry_has_its_test_and_there_are_enough() -> None:
    assert sorted(TESTED) == sorted(TEXTS)
    assert len(TEXTS) >= 15


@pytest.mark.parametrize("title", TEXTS)
def test_an_entry_gives_message_cause_and_remedy_in_shell_that_can_be_read(title: str) -> None:
    text = TEXTS[title]
    assert text.count("```text") == 1
    assert text.index("```text") < text.index("**Cause.**") < text.index("**Remedy.**")
    code = "\n".join(Entry(title).commands())
    ended = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@entry_of("pip refuses: externally-managed-environment")
def test_pips_refusal_on_debian_ends_in_a_virtual_environment(entry: Entry, tmp_path: Path) -> None:
    """The mark that Debian has in its Python is put into ours."""
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=Not here.\n")
    wheel(tmp_path / "wheels", "some", "1.0")
    marked = (
        f"import sysconfig; told = sysconfig.get_path; sysconfig.get_path = lambda n, *a, **k: "
        f"{str(tmp_path)!r} if n == 'stdlib' else told(n, *a, **k); sys.base_prefix = "
    )
    asked = ("--find-links", str(tmp_path / "wheels"), "some")
    entry.shows(pip(*asked, before=f"{marked}sys.prefix"))
    assert "python3 -m venv .venv" in entry.commands()
    assert "Would install some-1.0" in pip(*asked, before=f"{marked}'/elsewhere'")  # as in one
    entry.mended = True


@entry_of("pip fetches gigabytes of CUDA")
def test_the_index_of_processors_brings_no_cuda(entry: Entry, tmp_path: Path) -> None:
    """Wheels that say what PyTorch's say: the plain one needs nvidia's, that with +cpu none."""
    wheel(tmp_path / "pypi" / "torch", "torch", "2.13.0", "nvidia-cublas")
    wheel(tmp_path / "pypi" / "nvidia-cublas", "nvidia-cublas", "13.0")
    wheel(tmp_path / "cpu" / "torch", "torch", "2.13.0+cpu")
    (command,) = entry.commands()
    theirs = "https://download.pytorch.org/whl/cpu"
    assert theirs in command
    words = shlex.split(command)[4:]
    assert words[0] == requirement("torch") or "aarch64" in os.uname().machine
    with package_index(tmp_path) as address:
        plain = ["--index-url", f"{address}/pypi"]
        entry.shows(pip(*plain, words[0]))
        asked = [f"{address}/cpu" if word == theirs else word for word in words]
        said = pip(*plain, *asked)
    assert "Would install torch-2.13.0+cpu" in said
    assert "nvidia" not in said
    entry.mended = True


@entry_of("pip finds no onnxruntime on a Raspberry Pi")
def test_a_32_bit_system_has_no_onnxruntime_and_a_64_bit_one_has(
    entry: Entry, tmp_path: Path
) -> None:
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    wheel(tmp_path, "onnxruntime", "1.32.0", tag=f"cp{version}-cp{version}-manylinux_2_28_aarch64")
    (command,) = entry.commands()
    wanted = shlex.split(command)[-1]
    assert wanted == requirement("onnxruntime")
    flags = ["--find-links", str(tmp_path), "--only-binary=:all:", "--target", str(tmp_path / "x")]
    entry.shows(pip(*flags, "--platform", "linux_armv7l", wanted))
    found = pip(*flags, "--platform", "manylinux_2_28_aarch64", wanted)
    assert "Would install onnxruntime-1.32.0" in found
    entry.mended = True


@entry_of("A package is not installed")
def test_a_missing_package_is_named_with_the_command(
    entry: Entry, home: Path, monkeypatch: Patch, capsys: Shown
) -> None:
    find = prerequisites.importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            "importlib.util.find_spec", lambda name, *rest: name != "torch" and find(name, *rest)
        )
        patch.setattr(
            prerequisites.importlib.util, "find_spec", lambda n: None if n == "torch" else find(n)
        )
        assert train("book.txt") == 1
    entry.shows(capsys.readouterr().err)
    assert train("book.txt", "--output-dir", "installed") == 0
    entry.mended = True


@entry_of("Illegal instruction on a Raspberry Pi")
def test_a_build_for_newer_processors_is_named_and_another_one_runs(
    entry: Entry, tmp_path: Path, ask_doctor: Callable[..., str]
) -> None:
    """An interpreter that dies as it would on the board, which is a recorded one."""
    root = recorded(tmp_path / "pi", "pi4")
    dies = 'case "$*" in *onnxruntime*) kill -ILL $$;; *) echo 1.0;; esac'
    entry.shows(ask_doctor(root, dies))
    assert "tinytx doctor" in entry.commands()
    assert "can run" in ask_doctor(root, "echo 1.32.0")
    entry.mended = True


@entry_of("Training works, without torch.compile")
def test_a_missing_compiler_is_told_and_an_installed_one_is_found(
    entry: Entry, tmp_path: Path, monkeypatch: Patch, ask_doctor: Callable[..., str]
) -> None:
    root = recorded(tmp_path / "machine", "vm")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nothing")
        patch.delenv("CXX", raising=False)
        entry.shows(ask_doctor(root))
    with monkeypatch.context() as patch:
        patch.setattr("tinytx.compiler.problem", lambda: "")  # as after apt's work
        assert re.search(r"C\+\+ compiler +ok", ask_doctor(root))
    entry.mended = True


@entry_of("Too little memory to train")
def test_a_limit_that_is_raised_lets_training_begin(
    entry: Entry, home: Path, monkeypatch: Patch, capsys: Shown
) -> None:
    """A limit of a group above, as a container's: recorded files."""
    group = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}
    limit = "sys/fs/cgroup/a/memory.max"
    root = recorded(home / "machine", "vm", {**group, limit: "200000000\n"})
    monkeypatch.setattr(
        prerequisites.check_memory, "__defaults__", (root, prerequisites.NEEDED_MEMORY)
    )
    assert train("book.txt") == 1
    said = capsys.readouterr().err
    entry.shows(said)
    assert f"raise the limit of {root}/sys/fs/cgroup/a" in said
    (root / limit).write_text("900000000\n")
    assert train("book.txt") == 0
    entry.mended = True


@entry_of("Training is killed, and says nothing")
def test_the_doctor_tells_of_too_little_memory_and_the_preset_takes_less(
    entry: Entry, home: Path, ask_doctor: Callable[..., str]
) -> None:
    little = "MemTotal: 1000000 kB\nMemAvailable: 600000 kB\n"
    root = recorded(home / "machine", "vm", {"proc/meminfo": little})
    entry.shows(ask_doctor(root))
    entry.apply()
    config = json.loads((home / "small" / "training_metrics.json").read_text())["config"]
    assert config["training"]["micro_batch"] == 2


@entry_of("The card is full")
def test_too_little_room_is_told_before_any_work(
    entry: Entry, home: Path, monkeypatch: Patch, capsys: Shown
) -> None:
    """A disk with little room is what shutil.disk_usage says; tests/e2e has a real one."""
    with monkeypatch.context() as patch:
        patch.setattr(prerequisites.check_disk, "__defaults__", (2_000_000_000,))
        usage = type("Usage", (), {"free": 500_000_000})
        patch.setattr(prerequisites.shutil, "disk_usage", lambda path: usage)
        assert train("book.txt", "--output-dir", "card") == 1
    entry.shows(capsys.readouterr().err)
    assert list((home / "card").iterdir()) == []
    entry.apply()


@entry_of("The card fills up on the way")
def test_a_run_goes_on_once_there_is_room_again(
    entry: Entry, home: Path, monkeypatch: Patch, capsys: Shown
) -> None:
    """The system's answer is put in; tests/e2e/test_full_disk.py has a real full disk."""
    from tinytx.train import checkpoint

    Path("small.toml").write_text(SMALL.replace("epochs = 1", "epochs = 2"))
    save, saved = checkpoint.save, []

    def refuse(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills_up(path: Path, content: dict[str, Any]) -> None:
        with monkeypatch.context() as patch:
            if "last_checkpoint.pt" in saved:
                patch.setattr(os, "fsync", refuse)
            save(path, content)
        saved.append(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", fills_up)
        assert train("book.txt", "--output-dir", "full") == 4
    entry.shows(capsys.readouterr().err)
    entry.apply()


@entry_of("Docker ignores the memory limit")
def test_memory_limits_that_are_off_are_told_until_they_are_on(
    entry: Entry, tmp_path: Path, ask_doctor: Callable[..., str]
) -> None:
    off = {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n"}
    stock = {**off, "proc/cmdline": "cgroup_disable=memory rootwait"}
    entry.shows(ask_doctor(recorded(tmp_path / "stock", "pi4", stock)))
    words = "cgroup_enable=memory cgroup_memory=1"
    assert words in entry.commands()[0]
    on = {
        "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
        "proc/cmdline": f"cgroup_disable=memory rootwait {words}",
    }
    said = ask_doctor(recorded(tmp_path / "mended", "pi4", on))
    assert "memory controller is off" not in said
    entry.mended = True


@entry_of("The vocabulary is too large for the text")
def test_a_smaller_vocabulary_suits_a_short_text(entry: Entry, home: Path, capsys: Shown) -> None:
    assert train("book.txt", "--vocab-size", "2048") == 3
    said = capsys.readouterr().err
    entry.shows(said)
    (most,) = re.findall(r"--vocab-size (\d+)", said)
    assert int(most) >= 320  # what the remedy takes
    entry.apply()


@entry_of("The text is too short for any tokenizer")
def test_more_text_makes_a_tokenizer_possible(entry: Entry, home: Path, capsys: Shown) -> None:
    Path("short.txt").write_text("one two\n" * 300)
    assert train("short.txt") == 3
    entry.shows(capsys.readouterr().err)
    entry.apply()


@entry_of("The text is not UTF-8")
def test_what_iconv_makes_of_a_text_is_trained_on(entry: Entry, home: Path, capsys: Shown) -> None:
    french = small_text(900).replace("river", "rivière").replace("garden", "forêt")
    Path("latin.txt").write_bytes(french.encode("latin-1"))
    assert train("latin.txt") == 2
    said = capsys.readouterr().err
    entry.shows(said)
    convert = entry.commands()[0]
    assert f"-> if it is ISO-8859-1: {convert}" in said
    subprocess.run(["sh", "-c", convert], check=True)
    entry.apply()
    assert "rivière" in Path("converted/corpus/train.txt").read_text(encoding="utf-8")


@entry_of("The loss becomes nan")
def test_a_lower_learning_rate_stays_finite(entry: Entry, home: Path, capsys: Shown) -> None:
    assert train("book.txt", "--learning-rate", "1e30", "--output-dir", "nan") == 4
    entry.shows(capsys.readouterr().err)
    entry.apply()


@entry_of("It learns the text by heart")
@pytest.mark.long
def test_what_holds_the_tables_back_generalises_better(
    entry: Entry, home: Path, capsys: Shown
) -> None:
    Path("few.txt").write_text(small_text(500))
    flags = ["--config", "small.toml", "--width", "64", "--epochs", "15", "--output-dir", "heart"]
    assert run(["train", "--corpus-path", "few.txt", *flags]) == 0
    entry.shows(capsys.readouterr().err)
    heart = json.loads(Path("heart/training_metrics.json").read_text())
    assert heart["best_epoch"] < 12
    last = heart["epochs"][-1]
    assert last["train_loss"] < 0.75 * last["val_loss"]
    Path("small.toml").write_text(SMALL.replace("width = 32", "width = 64"))
    entry.apply()
    held = json.loads(Path("held/training_metrics.json").read_text())["epochs"][-1]
    assert held["val_loss"] < min(epoch["val_loss"] for epoch in heart["epochs"])
    assert held["train_loss"] > 0.85 * held["val_loss"]


class Busy:
    """Other programs that keep one core busy."""

    def look(self) -> float:
        return 1.0


@entry_of("Training is slow beside another program")
def test_one_thread_less_is_held_up_by_nobody(entry: Entry, home: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # no idle teams in this process
    entry.shows(waiting.Waiting(2, 2, Busy()).look())  # type: ignore[arg-type]
    assert waiting.Waiting(1, 2, Busy()).look() == ""  # type: ignore[arg-type]
    entry.apply()
    machine = json.loads(Path("beside/training_metrics.json").read_text())["machine"]
    assert machine["threads"] == 1


@entry_of("The folder holds another run")
def test_another_folder_keeps_the_run_that_is_there(
    entry: Entry, home: Path, capsys: Shown
) -> None:
    assert train("book.txt", "--output-dir", "one") == 0
    before = Path("one/best_model.pt").read_bytes()
    assert train("book.txt", "--epochs", "2", "--output-dir", "one") == 64
    entry.shows(capsys.readouterr().err)
    entry.apply()
    assert Path("one/best_model.pt").read_bytes() == before


@entry_of("Unknown setting")
def test_the_name_in_the_message_is_the_right_one(entry: Entry, home: Path, capsys: Shown) -> None:
    assert train("book.txt", "--set", "training.epoch=1") == 64
    entry.shows(capsys.readouterr().err)
    entry.apply()


@entry_of("Width and heads do not fit")
def test_a_width_that_the_heads_divide_is_taken(entry: Entry, home: Path, capsys: Shown) -> None:
    assert train("book.txt", "--width", "40", "--heads", "3") == 64
    entry.shows(capsys.readouterr().err)
    entry.apply()


def looked_at(folder: Path, name: str, changes: dict[str, str] | None = None) -> Machine:
    return observe(recorded(folder, name, changes), "x86_64" if name == "vm" else "aarch64")


@entry_of("INVALID: other programs kept the processor")
def test_a_bench_that_waits_is_invalid_and_a_calm_one_is_not(entry: Entry) -> None:
    (breach,) = conditions.waiting([0.02, 0.61])
    entry.shows(breach.reason)
    assert conditions.waiting([0.0, 0.001]) == []
    entry.mended = True


@entry_of("INVALID: the processor is emulated")
def test_an_emulated_processor_is_told_and_a_board_is_not(entry: Entry, tmp_path: Path) -> None:
    emulated = looked_at(tmp_path / "qemu", "qemu")
    entry.shows("\n".join(breach.reason for breach in conditions.breaches(emulated, emulated)))
    board = looked_at(tmp_path / "board", "pi4")
    assert conditions.breaches(board, board) == []
    entry.mended = True


GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


@entry_of("The governor holds the clock down")
def test_another_governor_satisfies_the_doctor(
    entry: Entry, tmp_path: Path, ask_doctor: Callable[..., str]
) -> None:
    root = recorded(tmp_path / "pi", "pi4", {GOVERNOR: "powersave\n"})
    entry.shows(ask_doctor(root))
    (command,) = entry.commands()
    written = command.replace("sudo ", "").replace("/sys/", f"{root}/sys/")
    subprocess.run(["sh", "-c", written], check=True, stdout=subprocess.DEVNULL)
    assert (root / GOVERNOR).read_text() == "performance\n"
    assert re.search(r"processor speed +ok", ask_doctor(root))
    entry.mended = True


@entry_of("Under-voltage, or too hot")
def test_the_firmwares_flags_are_told_until_they_are_clear(
    entry: Entry, tmp_path: Path, ask_doctor: Callable[..., str]
) -> None:
    flags = "sys/devices/platform/soc/soc:firmware/get_throttled"
    root = recorded(tmp_path / "pi", "pi4", {flags: "50005\n"})
    entry.shows(ask_doctor(root))
    (root / flags).write_text("0\n")
    assert re.search(r"processor speed +ok", ask_doctor(root))
    entry.mended = True


@entry_of("A bundle is damaged")
def test_a_fresh_copy_of_a_damaged_bundle_verifies(
    entry: Entry, bundled: Path, capsys: Shown
) -> None:
    subprocess.run(["cp", "-rL", "out/bundle", "broken"], check=True)
    raw = bytearray(Path("broken/model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    Path("broken/model.onnx").write_bytes(raw)
    assert run(["verify", "broken"]) == 9
    entry.shows(capsys.readouterr().err)
    copy = entry.commands()[0].replace("cp -r ", "cp -rL ")  # here out/bundle is a link
    subprocess.run(["sh", "-c", copy], check=True)
    entry.apply()


@entry_of("The prompt is too long")
def test_a_context_that_slides_takes_a_long_prompt(
    entry: Entry, bundled: Path, capsys: Shown
) -> None:
    prompt = small_text(60)
    assert run(["generate", "out/bundle", prompt]) == 64
    entry.shows(capsys.readouterr().err)
    (command,) = entry.commands()
    words = [prompt if "cat long.txt" in word else word for word in shlex.split(command)]
    assert run(words[1:]) == 0
    entry.mended = True


@entry_of("The server's port is taken")
def test_a_server_takes_any_port_that_is_free(entry: Entry, bundled: Path, capsys: Shown) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", "out/bundle", "--port", port, "--slots", "1"]) == 1
    entry.shows(capsys.readouterr().err)
    (command,) = entry.commands()
    with serving(bundled / "out" / "bundle", *shlex.split(command)[3:]) as server:
        assert server.port
    entry.mended = True


@entry_of("The server refuses to listen for others")
def test_with_a_token_a_server_listens_for_others(
    entry: Entry, bundled: Path, monkeypatch: Patch, capsys: Shown
) -> None:
    assert run(["serve", "out/bundle", "--host", "0.0.0.0"]) == 64
    entry.shows(capsys.readouterr().err)
    make, _ = entry.commands()
    assert make.endswith("> token.txt")
    Path("token.txt").write_text("0123456789abcdef\n")
    started: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "tinytx.cli.serve.starting._serve",
        lambda token, options: started.append((token, options["host"])),
    )
    entry.apply()
    assert started == [("0123456789abcdef", "0.0.0.0")]
