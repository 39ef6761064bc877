"""Each sign of emulation on its own, and real machines that resemble one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure.machine.emulation import emulation_signs

Tree = Callable[..., Path]

ARCH = "proc/sys/kernel/arch"
INIT = "proc/1/cmdline"
INFO = "proc/cpuinfo"
REAL_ARM = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
REGS = "sys/devices/system/cpu/cpu0/regs/identification/midr_el1"
INTERRUPTS = "proc/interrupts"
RELEASE = "proc/sys/kernel/osrelease"
BINFMT = "proc/sys/fs/binfmt_misc/qemu-aarch64"


def test_qemu_user_gives_itself_away_three_times(tree: Tree) -> None:
    signs = emulation_signs(tree("qemu"), "aarch64")
    assert "the kernel is x86_64 but programs see aarch64" in signs
    assert "process 1 runs under qemu-aarch64" in signs
    assert any("BogoMIPS 100.00" in sign for sign in signs)


@pytest.mark.parametrize(
    ("machine", "architecture", "changes"),
    [
        ("qemu", "aarch64", {INIT: "init\0", INFO: REAL_ARM}),  # only the kernel's architecture
        ("qemu", "aarch64", {ARCH: None, INFO: REAL_ARM}),  # only process 1
        ("qemu", "aarch64", {ARCH: None, INIT: "init\0"}),  # only the invented cpuinfo
        ("pi4", "aarch64", {"proc/40/cmdline": "/x/qemu-aarch64-static\0sh\0"}),  # the parent
        ("pi4", "aarch64", {ARCH: None, RELEASE: "6.1.0-18-amd64\n"}),
        ("pi4", "armv7l", {ARCH: None, RELEASE: "5.15.0-x86_64-generic\n"}),
        ("pi4", "aarch64", {ARCH: None, INTERRUPTS: " CPU0\n  0: 5 timer\n LOC: 77 Local timer\n"}),
        ("vm", "x86_64", {ARCH: None, INTERRUPTS: " 11: 5 GICv2 30 Level arch_timer\n"}),
        ("vm", "aarch64", {ARCH: None}),  # an old emulator shows the host's cpuinfo
        ("pi4", "x86_64", {ARCH: None}),
        ("vm", "x86_64", {INFO: "vendor_id\t: VirtualApple\n"}),
        ("vm", "x86_64", {INFO: "model name\t: QEMU TCG CPU version 2.5+\n"}),
        ("pi4", "aarch64", {ARCH: None, REGS: None, BINFMT: "enabled\ninterpreter /q\n"}),
    ],
)
def test_one_strong_sign_or_two_weak_ones_suffice(
    tree: Tree, machine: str, architecture: str, changes: dict[str, str | None]
) -> None:
    assert len(emulation_signs(tree(machine, changes), architecture)) >= 1


@pytest.mark.parametrize(
    ("machine", "architecture", "changes"),
    [
        ("vm", "x86_64", {}),
        ("pi4", "aarch64", {}),
        ("pi4", "armv7l", {}),  # a 32-bit system on a 64-bit kernel
        ("vm", "i686", {}),
        ("pi4", "aarch64", {REGS: None}),  # one weak sign
        ("pi4", "aarch64", {BINFMT: "enabled\n"}),
        ("pi4", "aarch64", {RELEASE: "6.6.31+rpt-rpi-v8\n"}),
        ("pi4", "aarch64", {RELEASE: "6.1.0-18-arm64\n"}),
        ("pi4", "armv7l", {RELEASE: "6.1.0-rpi7-rpi-v8-aarch64\n"}),
        ("pi4", "aarch64", {INTERRUPTS: " 11: 5 GICv2 30 Level arch_timer\nIPI0: 8 Resched\n"}),
        ("vm", "i686", {RELEASE: "6.1.0-18-amd64\n", INTERRUPTS: " LOC: 7 Local timer\n"}),
        ("vm", "x86_64", {INIT: "/usr/bin/qemu-system-x86_64\0"}),
        ("vm", "x86_64", {INIT: "/usr/bin/qemu-ga\0"}),  # the guest agent of a virtual machine
        ("vm", "x86_64", {INFO: "model name\t: QEMU Virtual CPU version 2.5+\n"}),
        ("vm", "x86_64", {ARCH: None, INFO: None, INIT: None}),
    ],
)
def test_real_and_virtual_machines_show_none(
    tree: Tree, machine: str, architecture: str, changes: dict[str, str | None]
) -> None:
    assert emulation_signs(tree(machine, changes), architecture) == []
