"""deploy/prepare.sh without a device: its command line, and what it makes of a kernel's parameters.

In a container it runs in tests/docker/test_prepare.py, on a machine with systemd in tests/vm.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "prepare.sh"
TEXT = SCRIPT.read_text("utf-8")


def prepare(*words: str) -> "subprocess.CompletedProcess[str]":
    """Always a dry run: this machine stays as it is."""
    return subprocess.run(
        ["sh", str(SCRIPT), "--dry-run", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_shell_understands_it(shell: str) -> None:
    ended = subprocess.run([shell, "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_shellcheck_finds_nothing() -> None:
    ended = subprocess.run(["shellcheck", "-s", "sh", str(SCRIPT)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_help_names_every_flag() -> None:
    ended = prepare("--help")
    assert ended.returncode == 0
    known = set(re.findall(r"--[a-z-]+(?= \||\))", TEXT[TEXT.index("arguments()") :]))
    flags = {flag for flag in known if f"{flag})" in TEXT or f"{flag} |" in TEXT}
    assert len(flags) > 12
    assert {flag for flag in flags if flag not in ended.stdout} <= {"--help"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wat"], "unknown argument --wat"),
        (["--way"], "--way needs a value"),
        (["--way", "kubernetes"], "--way is systemd or compose, not 'kubernetes'"),
        (["--wheels", "/nowhere"], "--wheels: /nowhere is no folder"),
        (["--wheel", "/nowhere"], "--wheel: there is no file /nowhere"),
        (["--signers", "/nowhere"], "--signers: there is no file /nowhere"),
        (["--image", "/nowhere"], "--image: there is no file /nowhere"),
        (["--image", str(SCRIPT)], "--image goes with --way compose only"),
        (["--ssh-user", "-rf"], "'-rf' is no name of a user"),
        (["--ssh-user", "x ALL=(ALL) ALL"], "is no name of a user"),
        (["--ssh-user", "x\ny"], "is no name of a user"),
        (["--group", 'a"\nb'], "--group takes letters"),
        (["--class", ""], "--class takes letters"),
        (["--pull", "ftp://x"], "--pull takes an address"),
        (["--pull", "https://x y"], "an address has no spaces"),
        (["--pull", "https://x\nY=1"], "an address has no spaces"),
        (["--purge"], "--purge goes with --undo only"),
        (["--way", "compose", "--wheels", "/tmp"], "--way compose runs an image"),
        (["--way", "compose", "--pull", "https://x"], "--pull goes with --way systemd only"),
        (["--wheels", "/tmp", "--wheel", str(SCRIPT)], "exclude each other"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_sentence(words: list[str], said: str) -> None:
    ended = prepare(*words)
    assert ended.returncode == 64
    assert said in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "console=tty1 root=/dev/x",
            "console=tty1 root=/dev/x cgroup_enable=memory cgroup_memory=1",
        ),
        ("a cgroup_disable=memory b", "a b cgroup_enable=memory cgroup_memory=1"),
        ("a cgroup_memory=0", "a cgroup_enable=memory cgroup_memory=1"),
        ("cgroup_enable=memory a cgroup_memory=1 b", "cgroup_enable=memory a cgroup_memory=1 b"),
        (
            "cgroup_enable=memory cgroup_memory=1 cgroup_disable=memory",
            "cgroup_enable=memory cgroup_memory=1",
        ),
    ],
)
def test_the_memory_controller_is_asked_for_once_and_nothing_wins_over_it(
    before: str, after: str
) -> None:
    found = re.search(r"^with_memory\(\) \{.*?^\}$", TEXT, re.M | re.S)
    assert found
    said = subprocess.run(
        ["sh", "-euc", f'{found.group()}\nwith_memory "$1"', "sh", before],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == after


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can be led astray, and it needs setpriv to become another user",
)
@pytest.mark.parametrize("name", ["device.toml", "device.toml.tinytx-new", "allowed_signers"])
def test_root_is_not_led_out_of_the_store_by_links_that_its_owner_put_there(name: str) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        store, secret, signers = place / "store", place / "secret", place / "signers"
        secret.write_text("of root's\n")
        secret.chmod(0o600)
        signers.write_text("one ssh-ed25519 AAAA\n")
        signers.chmod(0o600)
        store.mkdir()
        (store / name).symlink_to(secret)
        shutil.chown(store, "nobody")
        functions = TEXT[: TEXT.index('\narguments "$@"')].replace(
            "store=/var/lib/tinytx", f"store='{store}'"
        )
        script = f"{functions}\nsigners='{signers}' group=attic\nstore_folder nobody nogroup"
        ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert (secret.read_text(), secret.stat().st_uid) == ("of root's\n", 0)
        assert secret.stat().st_mode & 0o777 == 0o600
        for path in (store / "device.toml", store / "allowed_signers"):
            assert (path.is_symlink(), path.owner()) == (False, "nobody")
            assert "of root's" not in path.read_text()
        assert 'group = "attic"' in (store / "device.toml").read_text()
        assert (store / "allowed_signers").read_text() == signers.read_text()
