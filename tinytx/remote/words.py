"""Every command of a deployment as a list of words; nothing is run here.

The user's own OpenSSH client runs with their configuration, keys and agent. What is added keeps it
from asking questions, from waiting for ever, and from sharing a connection: a second client
through a master whose network is cut hangs for a quarter of an hour whatever its own options say
(docs/decisions/0037-no-answer-is-no-answer.md).
"""

import shlex
import sys
from collections.abc import Iterable, Sequence

from tinytx.remote.devices import Device

CONNECT_SECONDS = 10
ALIVE_SECONDS = 5
ALIVE_COUNT = 3
RECEIVE_IDLE_SECONDS = 30
"""How long the device waits for the next byte of a file before it gives the transfer up."""
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": str(ALIVE_SECONDS),
    "ServerAliveCountMax": str(ALIVE_COUNT),
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
}
TINYTX = {
    "systemd": ("sudo", "-n", "-u", "tinytx", "/opt/tinytx/bin/tinytx"),
    "compose": ("docker", "exec", "-i", "tinytx-watch", "tinytx"),
}
"""What runs tinytx on a device that ``deploy/prepare.sh`` has set up."""
PROBE = (
    "import json, platform, sys; print(json.dumps({'schema': 1, 'system': sys.platform, "
    "'architecture': platform.machine(), 'python': platform.python_version(), "
    "'implementation': sys.implementation.name, 'libc': platform.libc_ver()[1]}))"
)
"""What ``--prepare`` asks before there is a tinytx: which wheels can be installed there."""


PREPARE = """set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -xf - -C "$folder"
[ "$(id -u)" -eq 0 ] && as= || as="sudo -n"
[ "$1" = compose ] || set -- "$@" --wheels "$folder/wheels"
$as sh "$folder/deploy/prepare.sh" --way "$@" --ssh-user "$(id -un)"
"""
"""Unpacks what comes on standard input and runs ``prepare.sh`` from it, as root."""


def ssh(device: Device, remote: str) -> list[str]:
    """A command line for the device's shell, through the user's own client."""
    options = [word for key, value in OPTIONS.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-T", *options, "--", device.host, remote]


def tinytx(device: Device) -> list[str]:
    """What runs tinytx there."""
    return list(TINYTX.get(device.way, (device.tinytx,)))


def release(device: Device, command: str, *arguments: str) -> list[str]:
    """``tinytx release COMMAND`` on the device, its answer as JSON."""
    store = "" if device.store is None else f"--store {_path(device.store)} "
    words = shlex.join(["release", command, *arguments])
    return ssh(device, f"{' '.join(map(_path, tinytx(device)))} {words} {store}--json")


def _path(text: str) -> str:
    """A word of the devices file, quoted; what stands for the home folder there is not."""
    return f"~/{shlex.quote(text[2:])}" if text[:2] == "~/" and text[2:] else shlex.quote(text)


def receive(device: Device, sha256: str, size: int, offset: int) -> list[str]:
    """One file, its length and hash told ahead; the bytes from ``offset`` on are standard input."""
    return release(
        device, "receive", sha256, "--size", str(size), "--offset", str(offset),
        "--idle", str(RECEIVE_IDLE_SECONDS),
    )  # fmt: skip


def install(device: Device, bundle: str) -> list[str]:
    """Received files become a release, each hash, signature and policy checked."""
    return release(device, "install", bundle)


def prove(device: Device, bundle: str, allow_invalid: str = "") -> list[str]:
    """The short proof against the device's own budgets."""
    allowed = ["--allow-invalid", allow_invalid] if allow_invalid else []
    return release(device, "prove", bundle, *allowed)


def rollback(device: Device, reason: str = "") -> list[str]:
    """Back to the release before."""
    return release(device, "rollback", *(["--reason", reason] if reason else []))


def probe(device: Device) -> list[str]:
    """Asks the device's Python what it is."""
    return ssh(device, shlex.join(["python3", "-c", PROBE]))


def prepare(device: Device) -> list[str]:
    """There: ``prepare.sh``, from an archive on standard input, told what the file says."""
    told = {
        "--class": device.device_class,
        "--budgets": device.budgets,
        "--group": device.group,
    }
    options = [word for flag, value in told.items() if value for word in (flag, value)]
    return ssh(device, shlex.join(["sh", "-c", PREPARE, "prepare", device.way, *options]))


def build(checkout: str, folder: str) -> list[str]:
    """Here: pip's words for the wheel of a checkout."""
    return [
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--wheel-dir", folder, checkout,
    ]  # fmt: skip


def save_image(image: str) -> list[str]:
    """Here: an image as a stream."""
    return ["docker", "save", image]


def inspect_image_here(image: str) -> list[str]:
    """Here: what the engine knows about an image."""
    return ["docker", "image", "inspect", image]


def inspect_image(device: Device, image: str) -> list[str]:
    """There: the same."""
    return ssh(device, shlex.join(inspect_image_here(image)))


def load_image(device: Device) -> list[str]:
    """There: takes the stream in."""
    return ssh(device, shlex.join(["docker", "load", "--quiet"]))


def download(
    requirements: Iterable[str], folder: str, tags: Sequence[str], python: str
) -> list[str]:
    """Here: pip's words for wheels of another machine; ``tags`` are platform tags."""
    platforms = [word for tag in tags for word in ("--platform", tag)]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-input", "--only-binary=:all:", *platforms, "--python-version", python,
        "--implementation", "cp", "--dest", folder, *requirements,
    ]  # fmt: skip


def shown(words: Sequence[str], source: str = "") -> str:
    """A command as a person could type it; ``source`` is the file that it reads."""
    return shlex.join(words) + (f" < {shlex.quote(source)}" if source else "")
