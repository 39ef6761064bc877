"""Devices that are containers: a real OpenSSH server, a store of its own, on a network of its own.

    with Fleet(folder) as fleet:
        pi = fleet.start("pi")
        fleet.tinytx("deploy", "pi", str(bundle))   # the real command, the real ssh
        pi.kill()                                   # everything on the device, at once
        pi.start()

The image is built from the Dockerfile beside this file and the wheel of this checkout; wheels of
what tinytx needs are fetched once by pip. Whoever uses it ends it: nothing outlives ``close``.
"""

import contextlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMAGE = "tinytx-device"
STORE = "/var/lib/tinytx"
TINYTX = "/opt/tinytx/bin/tinytx"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
HERE = {machine: name for name, machine in MACHINES.items()}[platform.machine()]
SSH = """#!/bin/sh
if [ -n "${{TINYTX_TEST_RATE:-}}" ]; then
    {python} -S -c '{slowly}' "$TINYTX_TEST_RATE" | {ssh} -F {config} "$@"
else
    exec {ssh} -F {config} "$@"
fi
"""
SLOWLY = """
import os, sys, time
while piece := os.read(0, 65536):
    os.write(1, piece)
    time.sleep(len(piece) / float(sys.argv[1]))
"""
CONFIG = """Host *
    User tinytx
    IdentityFile {folder}/key
    IdentitiesOnly yes
    StrictHostKeyChecking yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
"""


def docker(*words: str, check: bool = True, seconds: float = 600.0) -> str:
    """Run the docker client; what it printed."""
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=seconds, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def wheels(folder: Path, architecture: str = HERE) -> Path:
    """A folder with the wheel of this checkout in own/ and what it needs in others/."""
    from tinytx.remote import wheels as fetching

    own, others = folder / "own", folder / "others"
    for path in (own, others):
        path.mkdir(parents=True, exist_ok=True)
    wheel = fetching.own_wheel(own)
    fetching.download(wheel, others, MACHINES[architecture], "3.11.2", "2.36")
    for path in others.glob("tinytx-*.whl"):
        path.unlink()
    return folder


def build(folder: Path, architecture: str = HERE) -> str:
    """The image of a device; cached layers are used again."""
    name = f"{IMAGE}:{architecture}"
    prepared = wheels(folder, architecture)
    docker(
        "build", "--quiet", "--platform", f"linux/{architecture}", "--tag", name,
        "--build-context", f"wheels={prepared}", str(Path(__file__).parent / "device"),
        seconds=1800,
    )  # fmt: skip
    return name


@dataclass
class Device:
    """A container with a device in it. Its store outlives a kill, not :meth:`remove`."""

    fleet: "Fleet"
    name: str
    container: str
    address: str = ""

    def run(self, *words: str, user: str = "tinytx", check: bool = True) -> str:
        """Run a command on the device, past ssh."""
        return docker("exec", "--user", user, self.container, *words, check=check)

    def shell(self, script: str, user: str = "tinytx", check: bool = True) -> str:
        return self.run("sh", "-c", script, user=user, check=check)

    def start(self) -> None:
        """After a kill or a stop: the same disk, all processes new; the address may be another."""
        docker("start", self.container)
        self._up()

    def kill(self) -> None:
        """SIGKILL to everything on the device, at one instant."""
        docker("kill", self.container)

    def kill_processes(self, pattern: str) -> None:
        """SIGKILL to the device's processes whose command line matches."""
        self.run("pkill", "-KILL", "-f", pattern, user="root", check=False)

    def cut(self) -> None:
        """The network is gone: no packet gets through, nobody is told."""
        docker("network", "disconnect", "--force", self.fleet.network, self.container)

    def mend(self) -> None:
        """The network is back, at the same address."""
        docker("network", "connect", "--ip", self.address, self.fleet.network, self.container)

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.container, check=False)

    def status(self) -> dict[str, Any]:
        """What `tinytx release status` says, asked on the device itself."""
        found: dict[str, Any] = json.loads(self.run(TINYTX, "release", "status", "--json"))
        return found

    def journal(self) -> list[dict[str, Any]]:
        """The lines of the journal."""
        return [json.loads(line) for line in self.run("cat", f"{STORE}/journal").splitlines()]

    def current(self) -> str:
        """The release that ``current`` names; empty for none."""
        return Path(self.shell(f"readlink {STORE}/current || true").strip()).name

    def policy(self, **keys: Any) -> None:
        """Write device.toml."""
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        self.shell(f"cat > {STORE}/device.toml <<'END'\n{lines}END\n")

    def log(self) -> str:
        """What the services and the ssh server said."""
        files = self.shell("cat /var/log/tinytx/*.log", check=False)
        return files + docker("logs", self.container, check=False)

    def new_host_keys(self) -> None:
        """As if the device had been set up anew."""
        script = "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; pkill -HUP -o sshd"
        self.shell(script, user="root")

    def _up(self) -> None:
        """Until its ssh server answers; then its address and its key are known here."""
        facts = json.loads(docker("inspect", self.container))[0]
        self.address = facts["NetworkSettings"]["Networks"][self.fleet.network]["IPAddress"]
        end = time.monotonic() + 60
        while True:
            words = ["ssh-keyscan", "-T", "2", self.address]
            found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
            if "ssh-ed25519" in found:
                break
            assert time.monotonic() < end, self.log()
            time.sleep(0.2)
        self.fleet.known[self.name] = found
        self.fleet.write()


@dataclass
class Fleet:
    """A network, an image and its devices, and the workstation's side of them: key, ssh
    configuration, devices file, all in ``folder``."""

    folder: Path
    image: str = ""
    architecture: str = HERE
    network: str = field(default_factory=lambda: f"tinytx-{uuid.uuid4().hex[:8]}")
    devices: dict[str, Device] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Fleet":
        (self.folder / "bin").mkdir(parents=True)
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key")]
        subprocess.run(key, check=True)
        ssh = self.folder / "bin/ssh"
        facts = {"ssh": shutil.which("ssh"), "config": self.folder / "ssh_config"}
        ssh.write_text(SSH.format(**facts, python=sys.executable, slowly=SLOWLY))
        ssh.chmod(0o755)
        self.image = self.image or build(self.folder / "wheels", self.architecture)
        for _ in range(10):  # a subnet of our own, so that an address can be had again
            subnet = f"10.{random.randint(100, 250)}.{random.randint(0, 255)}.0/24"
            if docker("network", "create", "--subnet", subnet, self.network, check=False):
                return self
        raise AssertionError("no network could be made")

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for device in self.devices.values():
            device.remove()
        docker("network", "rm", self.network, check=False)

    def start(
        self, name: str, *options: str, services: str = "serve watch", lines: str = ""
    ) -> Device:
        """A new device with an empty store. ``options`` go to `docker run`, ``lines`` into the
        devices file."""
        container = f"{self.network}-{name}"
        docker(
            "run", "--detach", "--init", "--name", container, "--hostname", name,
            "--platform", f"linux/{self.architecture}", "--network", self.network,
            "--env", f"SERVICES={services}", *options, self.image,
        )  # fmt: skip
        device = self.devices[name] = Device(self, name, container)
        self.lines[name] = lines
        public = (self.folder / "key.pub").read_text()
        place = "/home/tinytx/.ssh/authorized_keys"
        device.shell(f"umask 077; cat > {place} <<'END'\n{public}END\n")
        device._up()
        return device

    def write(self) -> None:
        """The workstation's files, as the devices are now."""
        config, tables = CONFIG.format(folder=self.folder), ""
        for name, device in self.devices.items():
            config = f"Host {name}\n    HostName {device.address}\n{config}"
            tables += f'[devices.{name}]\nhost = "{name}"\nway = "plain"\ntinytx = "{TINYTX}"\n'
            tables += f'platform = "linux/{self.architecture}"\n{self.lines[name]}\n'
        (self.folder / "ssh_config").write_text(config)
        (self.folder / "known_hosts").write_text("".join(self.known.values()))
        (self.folder / "devices.toml").write_text(tables)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TINYTX_DEVICES": str(self.folder / "devices.toml"),
        }

    def tinytx(self, *words: str, seconds: float = 600.0) -> "subprocess.CompletedProcess[str]":
        """The workstation's command, to its end."""
        return subprocess.run(
            self._words(words), env=self.environment, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, *words: str, rate: float = 0.0) -> Iterator["subprocess.Popen[str]"]:
        """The same while it runs; it is killed at the end of the block. ``rate``: ssh is fed so
        many bytes a second. Its streams come apart: a document on one is no place for words."""
        slow = {"TINYTX_TEST_RATE": str(rate)} if rate else {}
        process = subprocess.Popen(
            self._words(words), env={**self.environment, **slow}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @staticmethod
    def _words(words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "tinytx.cli.main", *words]
