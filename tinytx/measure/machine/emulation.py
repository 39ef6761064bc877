"""Is another machine imitating this one? Several independent signs, since each can be hidden.

qemu-user rewrites some of /proc for the program that it runs (cpuinfo, self/exe, self/maps) but
not all of it. One strong sign suffices; a weak one, which a real machine can show as well, counts
only together with another.
"""

import re
from pathlib import Path

from tinytx.measure.machine.sensors import text

_FAMILIES = {
    "x86_64": "x86",
    "amd64": "x86",
    "i386": "x86",
    "i486": "x86",
    "i586": "x86",
    "i686": "x86",
    "aarch64": "arm",
    "arm64": "arm",
    "armv8l": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "riscv64": "riscv",
}


def emulation_signs(root: Path, architecture: str) -> list[str]:
    """Sentences that say what gives the emulator away; empty when nothing does.

    ``architecture`` is what the program believes that it runs on (``uname -m``).
    """
    strong = [
        sign
        for sign in (
            _kernel_differs(root, architecture),
            _release_differs(root, architecture),
            _foreign_interrupts(root, architecture),
            _emulated_process(root),
            _foreign_cpuinfo(root, architecture),
            _invented_cpuinfo(root, architecture),
        )
        if sign
    ]
    weak = [
        sign
        for sign in (_no_identification(root, architecture), _registered(root, architecture))
        if sign
    ]
    return [*strong, *weak] if strong or len(weak) > 1 else []


def _family(architecture: str) -> str:
    return _FAMILIES.get(architecture, architecture)


def _kernel_differs(root: Path, architecture: str) -> str:
    """/proc/sys/kernel/arch (Linux 6.1) tells the kernel's own architecture.

    A 32-bit program on a 64-bit kernel of the same family is no emulation.
    """
    kernel = text(root / "proc/sys/kernel/arch").strip()
    if kernel and _family(kernel) != _family(architecture):
        return f"the kernel is {kernel} but programs see {architecture}"
    return ""


def _release_differs(root: Path, architecture: str) -> str:
    """Debian and others end the kernel's release with its architecture ("6.1.0-18-amd64")."""
    release = text(root / "proc/sys/kernel/osrelease").strip()
    for word in re.split(r"[-.+_]", release.replace("x86_64", "amd64")):
        if word in _FAMILIES and _FAMILIES[word] != _family(architecture):
            return f"the kernel's release is {release} but programs see {architecture}"
    return ""


def _foreign_interrupts(root: Path, architecture: str) -> str:
    """No emulator of programs rewrites /proc/interrupts: its names are the real processor's."""
    table = text(root / "proc/interrupts")
    if _family(architecture) != "x86" and re.search(r"^ *(?:LOC|TLB|MCE):", table, re.MULTILINE):
        return f"/proc/interrupts is an x86 processor's but programs see {architecture}"
    if _family(architecture) != "arm" and "arch_timer" in table:
        return f"/proc/interrupts is an ARM processor's but programs see {architecture}"
    return ""


def _emulated_process(root: Path) -> str:
    """Another process's command line is not rewritten: it begins with the emulator."""
    parents = re.findall(r"^PPid:\s*(\d+)$", text(root / "proc/self/status"), re.MULTILINE)
    for process in ("1", *parents):
        first = text(root / "proc" / process / "cmdline").partition("\0")[0]
        name = first.rpartition("/")[2]
        if re.fullmatch(r"qemu-(?!system|ga\b|nbd|img|storage)[a-z0-9_]+(-static)?", name):
            return f"process {process} runs under {name}"
    return ""


def _foreign_cpuinfo(root: Path, architecture: str) -> str:
    """An old emulator passes the host's /proc/cpuinfo through; Rosetta names itself in it."""
    information = text(root / "proc/cpuinfo")
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", information, re.MULTILINE)
    if vendor and vendor.group(1) == "VirtualApple":
        return "/proc/cpuinfo says VirtualApple: Rosetta translates this program"
    if vendor and _family(architecture) != "x86":
        return f"/proc/cpuinfo shows a {vendor.group(1)} processor but programs see {architecture}"
    arm = re.search(r"^CPU implementer\s*:", information, re.MULTILINE)
    if arm and _family(architecture) == "x86":
        return f"/proc/cpuinfo shows an ARM processor but programs see {architecture}"
    return ""


def _invented_cpuinfo(root: Path, architecture: str) -> str:
    """The emulators' own inventions: qemu-user's ARM file, and the name of the TCG processor."""
    information = text(root / "proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.*)$", information, re.MULTILINE)
    if name and "TCG" in name.group(1):
        return f"/proc/cpuinfo says {name.group(1).strip()}: QEMU translates every instruction"
    invented = r"ARMv\d Processor rev \d+ \(v\dl\)"
    bogus = re.search(r"^BogoMIPS\s*:\s*100\.00$", information, re.MULTILINE)
    if (
        _family(architecture) == "arm"
        and name
        and bogus
        and re.fullmatch(invented, name.group(1).strip())
    ):
        return "/proc/cpuinfo is the one that qemu-user invents (BogoMIPS 100.00)"
    return ""


def _no_identification(root: Path, architecture: str) -> str:
    """A 64-bit ARM kernel (4.7 or later) lists its identification registers in /sys."""
    cpu = root / "sys/devices/system/cpu/cpu0"
    if architecture in ("aarch64", "arm64") and cpu.is_dir() and not (cpu / "regs").is_dir():
        return "/sys/devices/system/cpu/cpu0/regs is missing on an ARM processor"
    return ""


def _registered(root: Path, architecture: str) -> str:
    """Who needs an emulator of this very architecture does not have the processor."""
    name = "aarch64" if architecture == "arm64" else architecture
    path = root / "proc/sys/fs/binfmt_misc" / f"qemu-{name}"
    if text(path).startswith("enabled"):
        return f"an emulator is registered for {name} programs"
    return ""
