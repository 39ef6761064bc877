"""docker/engine.sh says what a machine lacks, with stand-ins for docker and the emulator."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker/engine.sh"
TOOLS = ["bash", "cat", "grep", "head", "id", "sed", "seq", "sleep", "timeout", "uname"]
FOREIGN = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(platform.machine(), "")
GOOD = {
    "version*": "echo 26.1.5",
    "buildx version": "echo 0.13",
    "compose version": "echo 2.26",
    "info*": "echo containerd.snapshotter.v1",
    "buildx inspect": "echo 'Driver: docker'",
    "buildx imagetools*": "exit 1",
    "run*": "true",
}
QEMU = "enabled\ninterpreter {folder}/qemu\nflags: OCF\n"
Check = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.skipif(
    not FOREIGN or not shutil.which("bash"), reason="Linux on x86 or Arm"
)


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run engine.sh where docker answers as told: its exit code and what it said."""
    tools, binfmt = tmp_path / "bin", tmp_path / "binfmt"
    tools.mkdir()
    binfmt.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)

    def run(
        answers: dict[str, str] | None,
        emulator: str | None = QEMU,
        version: str = "10.0.2",
        argument: str = "--check",
        user: int | None = None,
    ) -> tuple[int, str]:
        if answers is not None:
            cases = "\n".join(f"{key.replace(' ', '?')}) {do} ;;" for key, do in answers.items())
            program(tools / "docker", f'case "$*" in\n{cases}\n*) exit 1 ;;\nesac')
        program(tmp_path / "qemu", f"echo qemu-{FOREIGN} version {version}")
        if emulator is not None:
            (binfmt / f"qemu-{FOREIGN}").write_text(emulator.format(folder=tmp_path))
        if user is not None:
            (tools / "id").unlink()
            program(tools / "id", f"echo {user}")
        ended = subprocess.run(
            ["bash", str(SCRIPT), *argument.split()],
            env={
                "PATH": str(tools),
                "HOME": os.environ.get("HOME", "/"),
                "TINYTX_BINFMT": str(binfmt),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def test_where_all_is_there_it_says_so(check: Check) -> None:
    status, said = check(GOOD)
    assert (status, "everything is here" in said) == (0, True), said


def test_where_all_is_there_it_does_nothing(check: Check) -> None:
    status, said = check(GOOD, argument="", user=1000)
    assert (status, said) == (0, "engine: nothing to do: Docker works here for both platforms\n")


@pytest.mark.parametrize(
    ("answers", "emulator", "version", "said"),
    [
        (None, QEMU, "10.0.2", "there is no docker command"),
        (GOOD | {"version*": "exit 1"}, QEMU, "10.0.2", "no Docker engine answers (is dockerd"),
        (GOOD | {"buildx version": "exit 1"}, QEMU, "10.0.2", "docker has no buildx plugin"),
        (GOOD | {"compose version": "exit 1"}, QEMU, "10.0.2", "docker has no compose plugin"),
        (
            GOOD | {"info*": "echo overlay2"},
            QEMU,
            "10.0.2",
            "cannot keep an image of two platforms",
        ),
        (GOOD, None, "10.0.2", f"no emulator is registered for {FOREIGN} programs"),
        (GOOD, "disabled\n" + QEMU[8:], "10.0.2", "no emulator is registered for"),
        (GOOD, QEMU.replace("F", ""), "10.0.2", "without the flag F: containers cannot see it"),
        (GOOD, QEMU, "7.2.19", "the emulator is QEMU 7: 7.2 hangs when onnxruntime is imported"),
        (GOOD | {"run*": "exit 1"}, QEMU, "10.0.2", "neither here nor can a registry be reached"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(
    check: Check, answers: dict[str, str] | None, emulator: str | None, version: str, said: str
) -> None:
    status, out = check(answers, emulator, version)
    assert status == 1
    assert said in out
    assert out.endswith("engine: run: sudo bash docker/engine.sh\n")


def test_without_root_it_changes_nothing_and_says_that_no_engine_can_be_had(check: Check) -> None:
    status, out = check(None, argument="", user=1000)
    assert status == 69
    assert out == "engine: this changes the system and needs root: sudo bash docker/engine.sh\n"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, setpriv")
@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="elsewhere it ends before")
def test_root_without_the_right_to_mount_is_told_that_no_engine_can_be_had(tmp_path: Path) -> None:
    program(tmp_path / "docker", "exit 1")
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    ended = subprocess.run(
        [*without, "bash", str(SCRIPT)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 69, ended.stderr
    assert "root has no right to mount here" in ended.stderr or "only Debian 12" in ended.stderr


def test_an_unknown_argument_names_the_known_ones(check: Check) -> None:
    status, out = check(GOOD, argument="--chek")
    assert (status, "none, --check, --stop or --undo" in out) == (1, True)
