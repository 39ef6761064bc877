"""Why the memory controller is missing, and how it comes back: advice that comes to an end.

``cgroup_disable=memory`` is every kernel's; ``cgroup_enable=memory`` is that of Raspberry Pi's and
of some distributions'. Where a kernel knows both the last one wins. What was advised already and
did not help is not advised again.
"""

from pathlib import Path
from typing import NamedTuple

from tinytx.measure.machine import containers, sensors
from tinytx.measure.machine.sensors import text

ENABLE, DISABLE = "cgroup_enable", "cgroup_disable"
ON, OFF = f"{ENABLE}=memory", f"{DISABLE}=memory"
PI_FILES = ("boot/firmware/cmdline.txt", "boot/cmdline.txt")
"""Kernel parameters of Raspberry Pi OS: since Debian 12, and before."""
PI_PARAMETERS = "cgroup_enable=memory cgroup_memory=1"
"""Kernels of today need the first only; those of 2017 to 2018 knew the second."""
GRUB = "etc/default/grub"


class Obstacle(NamedTuple):
    """Why no group with a memory limit can be made."""

    reason: str
    remedy: str = ""


def no_controller(root: Path, base: Path) -> Obstacle:
    """Why there is no memory controller in ``base``."""
    found = _on_a_pi(root) if "Raspberry Pi" in sensors.board(root) else _elsewhere(root, base)
    if containers.kind(root):
        return found._replace(remedy=f"on the host, not in this container: {found.remedy}")
    return found


def switched(words: list[str]) -> list[str]:
    """The parameters among ``words`` that switch the memory controller, in their order."""
    pairs = [word.partition("=") for word in words]
    return [
        f"{name}=memory"
        for name, _, values in pairs
        if name in (ENABLE, DISABLE) and "memory" in values.split(",")
    ]


def _elsewhere(root: Path, base: Path) -> Obstacle:
    given = switched(text(root / "proc/cmdline").split())
    given = given or switched(
        text(root / "proc/device-tree/chosen/bootargs").strip("\0\n ").split()
    )
    listed = [line.split() for line in text(root / "proc/cgroups").splitlines() if line[:1] != "#"]
    off = any(words[0] == "memory" and words[-1] == "0" for words in listed if words)
    if OFF in given:
        both = f", and {ON} beside it did not help" if ON in given else ""
        return Obstacle(
            f"the memory controller is off: the kernel was started with {OFF}{both}",
            f"take {OFF} out of the kernel's parameters and reboot",
        )
    if ON in given and off:
        return Obstacle(
            f"the memory controller is off in this kernel, which ignores {ON}",
            "use another kernel, with CONFIG_MEMCG and the controller on",
        )
    if off and ON in text(root / GRUB):
        return Obstacle(
            f"the memory controller is off in this kernel; /{GRUB} has {ON} already, and the "
            "kernel was not given it",
            "sudo update-grub, then reboot",
        )
    if off:
        return Obstacle(
            "the memory controller is off in this kernel (/proc/cgroups)",
            f"add {ON} to the kernel's parameters and reboot",
        )
    if not base.is_dir() and not (root / "proc/cgroups").exists():
        return Obstacle("this kernel has no control groups", "use a kernel with CONFIG_MEMCG")
    return Obstacle(
        f"there is no memory controller in {base}",
        "mount control groups of version 2 at /sys/fs/cgroup, or use a kernel with CONFIG_MEMCG",
    )


def _on_a_pi(root: Path) -> Obstacle:
    """The firmware of a Raspberry Pi starts the kernel with ``cgroup_disable=memory``.

    The parameters of cmdline.txt come after it.
    """
    reason = (
        "the memory controller is off, as Raspberry Pi OS starts its kernel; "
        "`docker run --memory` is ignored here too"
    )
    name = next((name for name in PI_FILES if (root / name).exists()), PI_FILES[0])
    first, *others = (text(root / name).strip("\n").splitlines() or [""])[:9]
    written = switched(first.split())
    given = switched(text(root / "proc/cmdline").split())
    if given[-1:] == [ON]:
        return Obstacle(
            f"{reason}; this kernel ignores {ON}",
            "update the kernel (sudo apt full-upgrade) and reboot",
        )
    if written[-1:] == [OFF]:
        why = f", after {ON}, and the last one wins" if ON in written else ""
        return Obstacle(
            f"{reason}; /{name} has {OFF}{why}", f"take {OFF} out of /{name} and reboot"
        )
    if ON in written:
        return _written_already(root, name, reason)
    if ON in switched(" ".join(others).split()):
        return Obstacle(
            f"{reason}; /{name} has {ON} on a line of its own, and only the first line is read",
            f"put {ON} at the end of the first line of /{name} and reboot",
        )
    if ON in given:
        return Obstacle(
            f"{reason}; {OFF} comes after {ON} in the kernel's parameters, and the last one wins",
            f"put {ON} at the end of the one line in /{name} and reboot",
        )
    return Obstacle(reason, f"add {PI_PARAMETERS} to the end of the one line in /{name} and reboot")


def _written_already(root: Path, name: str, reason: str) -> Obstacle:
    """The file has it and the kernel was not given it: not started since, or not from this file."""
    if _started_at(root) > (root / name).stat().st_mtime:
        return Obstacle(
            f"{reason}; /{name} has {ON}, but the kernel was started after that was written and "
            "was not given it: it seems to start from another file",
            "look for `cmdline=` or `os_prefix=` in config.txt and for another boot partition or "
            f"card (findmnt /{name.rpartition('/')[0]}), and write {ON} there",
        )
    return Obstacle(
        f"{reason}; /{name} has {ON} already, which counts from the next start", "reboot"
    )


def _started_at(root: Path) -> float:
    """When the kernel was started, in seconds since 1970; 0 where it does not say (proc(5))."""
    for line in text(root / "proc/stat").splitlines():
        if line.startswith("btime ") and line[6:].strip().isdigit():
            return float(line[6:])
    return 0.0
