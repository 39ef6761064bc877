"""A virtual machine that is a device: started, asked over SSH, and robbed of its power.

Its disk is a copy of what ``build.sh`` made. The disk's cache is written through (``directsync``):
what the guest was told to be on the disk is on it when the process is killed.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PORT = 2299
MEMORY_MB = 512
"""As the smallest Raspberry Pi has it."""
PROCESSOR = "max"
"""It says of itself that it is emulated, so that a proof of speed there is INVALID by rule."""
# no_timer_check: the kernel takes the timer of a starved emulator for broken.
QUIET = (
    "cryptomgr.notests no_timer_check mitigations=off modprobe.blacklist=kvm_amd,kvm_intel quiet "
    "systemd.ssh_auto=no "
)
UNUSED = (
    "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "modprobe@fuse.service", "serial-getty@ttyS0.service", "systemd-logind.service",
    "systemd-networkd-persistent-storage.service",
)  # fmt: skip
"""A start is seconds of an emulated processor; these make up a third of them."""
MASKED = QUIET + " ".join(f"systemd.mask={unit}" for unit in UNUSED)
BOOT_SECONDS = 600
TRIES = 10
"""Of a command that was not begun, as ssh gave up before it."""


def build(suite: str) -> Path:
    """The folder with kernel, initrd and disk; made when it is not there yet."""
    made = subprocess.run(
        ["bash", str(HERE / "build.sh"), suite], check=True, capture_output=True, text=True
    )
    return Path(made.stdout.strip().splitlines()[-1])


class Machine:
    """One virtual machine. ``work`` holds its disk, its log and the SSH configuration."""

    def __init__(self, built: Path, work: Path, port: int = PORT) -> None:
        self.built, self.work, self.port = built, work, port
        self.disk = work / "disk.ext4"
        self.console = work / "console.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.boots = 0
        self._configure()

    def _configure(self) -> None:
        """SSH aliases ``vm`` (root), ``pi`` and ``carrier``, and an ``ssh`` that reads them."""
        common = (
            f"    HostName 127.0.0.1\n    Port {self.port}\n"
            f"    IdentityFile {self.built}/id_ed25519\n"
            "    IdentitiesOnly yes\n    StrictHostKeyChecking accept-new\n"
            f"    UserKnownHostsFile {self.work}/known_hosts\n    LogLevel ERROR\n"
        )
        users = (("vm", "root"), ("pi", "pi"), ("carrier", "carrier"))
        text = "".join(f"Host {name}\n    User {user}\n{common}" for name, user in users)
        # Only for the questions of the tests: what they are about, tinytx, shares no connection.
        text += (
            f"Host vm\n    ControlMaster auto\n    ControlPath {self.work}/master\n"
            "    ControlPersist 60\n    ServerAliveInterval 30\n    ServerAliveCountMax 10\n"
        )
        (self.work / "ssh_config").write_text(text)
        command = self.work / "bin" / "ssh"
        command.parent.mkdir(exist_ok=True)
        command.write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.work}/ssh_config "$@"\n'
        )
        command.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """For programs of a workstation that reach the device by their ``ssh``."""
        return {**os.environ, "PATH": f"{self.work}/bin:{os.environ['PATH']}"}

    def fresh(self, disk: Path | None = None) -> None:
        """A new disk, from the built one or another."""
        subprocess.run(
            ["cp", "--sparse=always", str(disk or self.built / "device.ext4"), str(self.disk)],
            check=True,
        )

    def start(self, kernel: str = "", *more: str) -> float:
        """Switch it on and wait until it answers; seconds. ``kernel``: further parameters."""
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:22"
        words = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=400",
            "-cpu", PROCESSOR, "-m", str(MEMORY_MB), "-smp", "2",
            "-kernel", str(self.built / "kernel"), "-initrd", str(self.built / "initrd"),
            "-append", f"root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 {MASKED} {kernel}",
            "-drive", f"file={self.disk},if=virtio,format=raw,cache=directsync",
            "-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net",
            "-no-reboot", "-display", "none", "-vga", "none", "-monitor", "none",
            "-serial", f"file:{self.console}", *more,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        self.boots += 1
        began = time.monotonic()
        while time.monotonic() - began < BOOT_SECONDS:
            if self.process.poll() is not None:
                raise RuntimeError(f"the virtual machine ended by itself, see {self.console}")
            if self.ssh("true", timeout=20, check=False).returncode == 0:
                return time.monotonic() - began
            time.sleep(0.5)
        raise RuntimeError(f"the virtual machine does not answer, see {self.console}")

    def lose_power(self) -> None:
        """The process dies at once: nothing in the guest is told."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """An orderly end."""
        if self.process is None:
            return
        self.ssh("systemctl poweroff", timeout=30, check=False)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.lose_power()

    def ssh(
        self, command: str, user: str = "vm", timeout: float = 300, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """A command in the device's shell; begun again where a starved device did not greet."""
        words = [str(self.work / "bin" / "ssh"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]
        for _ in range(TRIES):
            try:
                ended = subprocess.run(
                    [*words, user, command], capture_output=True, text=True, timeout=timeout,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                ended = subprocess.CompletedProcess(error.cmd, 124, "", "timeout")
            if ended.returncode != 255 or "banner exchange" not in ended.stderr:
                break
        if check and ended.returncode != 0:
            raise AssertionError(
                f"{command!r} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
            )
        return ended

    def send(self, paths: Sequence[Path], folder: str, user: str = "vm") -> None:
        """Files and folders into ``folder`` on the device."""
        names = [word for path in paths for word in ("-C", str(path.parent), path.name)]
        ssh = [str(self.work / "bin" / "ssh"), user]
        with subprocess.Popen(["tar", "-c", *names], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [*ssh, f"mkdir -p {folder} && tar --no-same-owner -xC {folder}"],
                stdin=tar.stdout, check=True,
            )  # fmt: skip
