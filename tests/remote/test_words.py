"""Commands are lists of words, and what the remote shell sees of them is quoted."""

import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tinytx.remote import words
from tinytx.remote.devices import Device

PI = Device(host="me@pi")


def remote(command: list[str]) -> list[str]:
    """The words that the device's shell makes of a command."""
    assert command[-3:-1] == ["--", "me@pi"]
    return shlex.split(command[-1])


def test_ssh_asks_nothing_waits_for_nothing_and_shares_nothing() -> None:
    command = words.release(PI, "status")
    options = {word for flag, word in pairwise(command) if flag == "-o"}
    assert command[0] == "ssh"
    assert {"BatchMode=yes", "ConnectTimeout=10", "ControlMaster=no", "ControlPath=none"} <= options
    assert {"ServerAliveInterval=5", "ServerAliveCountMax=3"} <= options
    given = {option.split("=")[0] for option in options}
    assert not given & {"User", "Port", "IdentityFile", "StrictHostKeyChecking", "ProxyJump"}
    assert "-F" not in command


@pytest.mark.parametrize(
    ("device", "begins"),
    [
        (PI, ["sudo", "-n", "-u", "tinytx", "/opt/tinytx/bin/tinytx", "release", "status"]),
        (
            Device(host="me@pi", way="compose"),
            ["docker", "exec", "-i", "tinytx-watch", "tinytx", "release", "status"],
        ),
        (
            Device(host="me@pi", way="plain", tinytx="/a b/tinytx", store="/it's; rm -rf here"),
            ["/a b/tinytx", "release", "status", "--store", "/it's; rm -rf here"],
        ),
    ],
)
def test_each_way_of_running_has_its_words(device: Device, begins: list[str]) -> None:
    assert remote(words.release(device, "status")) == [*begins, "--json"]


def test_the_home_folder_of_the_device_is_for_its_shell_to_find(tmp_path: Path) -> None:
    pi = Device(host="me@pi", way="plain", tinytx="~/a b/tinytx", store="~/it's $(here)")
    command = words.release(pi, "rollback", "--reason", "~/x")[-1]
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s|' {command}"], env={"HOME": str(tmp_path)}, stdout=subprocess.PIPE
    )
    assert shown.stdout.decode().split("|")[:-1] == [
        f"{tmp_path}/a b/tinytx", "release", "rollback", "--reason", "~/x",
        "--store", f"{tmp_path}/it's $(here)", "--json",
    ]  # fmt: skip


def test_text_of_the_users_cannot_become_a_command_there() -> None:
    reason = "'; touch /tmp/x; $(id) `id` \\ \n \""
    assert reason in remote(words.rollback(PI, reason))
    assert reason in remote(words.prove(PI, "ab" * 32, reason))


def test_a_file_is_announced_with_its_length_its_hash_and_where_it_goes_on() -> None:
    told = remote(words.receive(PI, "ab" * 32, 1_000, 600))
    place = told.index("receive")
    assert told[place:] == [
        "receive", "ab" * 32, "--size", "1000", "--offset", "600", "--idle", "30", "--json",
    ]  # fmt: skip


def test_wheels_are_asked_for_in_the_devices_terms_and_never_built() -> None:
    command = words.download(["tinytx[serve]"], "/there", ["manylinux_2_36_aarch64"], "3.11")
    assert "--only-binary=:all:" in command
    for flag, value in (
        ("--platform", "manylinux_2_36_aarch64"),
        ("--python-version", "3.11"),
        ("--implementation", "cp"),
        ("--dest", "/there"),
    ):
        assert command[command.index(flag) + 1] == value


def test_a_command_is_shown_as_a_person_can_type_it() -> None:
    shown = words.shown(["ssh", "--", "pi", "a 'b'"], "my file")
    assert shlex.split(shown) == ["ssh", "--", "pi", "a 'b'", "<", "my file"]
