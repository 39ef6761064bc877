"""What Linux tells about the speed and the heat of the processors, below one root directory.

Documentation: Linux admin-guide/pm/cpufreq, driver-api/thermal/sysfs-api, accounting/psi; the
Raspberry Pi's flags are those of ``vcgencmd get_throttled``. A missing file is an unknown fact.

The drivers that ask the firmware for these flags (drivers/hwmon/raspberrypi-hwmon.c, and
drivers/firmware/raspberrypi.c of the Raspberry Pi's own kernels) do so every 2 s and have it forget
what has been. So a flag that is gone says nothing about 3 s ago.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_CPU = "sys/devices/system/cpu"
FLAGS = "flags of the Raspberry Pi's firmware"
VOLTAGE = "under-voltage alarm (rpi_volt)"
EVENTS = "counts of thermal throttling"
COOLING = "cooling devices of the kernel"
_COOLING = re.compile(r"cpufreq|cpu-idle|idle-injection|^Processor$|powerclamp")
"""Types of cooling device that cool by making a processor slower."""


@dataclass(frozen=True, kw_only=True)
class Frequency:
    """The frequencies of the cores that may be used, in kHz."""

    governors: list[str] = field(default_factory=list)
    """Each once; more than one when cores differ."""
    driver: str = ""
    slowest: int | None = None
    """The lowest present frequency of any core."""
    fastest: int | None = None
    capped: float | None = None
    """The highest frequency that a core is allowed over the highest that it was built for, of the
    core where this is lowest."""


def frequency(root: Path, cores: Iterable[int] = ()) -> Frequency:
    """All of these cores; all that there are when none is given."""
    wanted = {f"cpu{core}" for core in cores}
    folders = sorted(
        (path for path in root.glob(f"{_CPU}/cpu[0-9]*/cpufreq") if _wanted(path, wanted)),
        key=lambda path: int(path.parent.name[3:]),
    )
    governors = [text(path / "scaling_governor").strip() for path in folders]
    drivers = [text(path / "scaling_driver").strip() for path in folders]
    present = [f for path in folders if (f := number(path / "scaling_cur_freq")) is not None]
    caps = [
        allowed / built
        for path in folders
        if (allowed := number(path / "scaling_max_freq"))
        and (built := number(path / "cpuinfo_max_freq"))
    ]
    return Frequency(
        governors=list(dict.fromkeys(filter(None, governors))),
        driver=next(filter(None, drivers), ""),
        slowest=min(present, default=None),
        fastest=max(present, default=None),
        capped=min(caps, default=None),
    )


def _wanted(path: Path, wanted: set[str]) -> bool:
    return not wanted or path.parent.name in wanted


def temperatures(root: Path) -> dict[str, int]:
    """Every thermal zone's temperature in thousandths of a degree."""
    found: dict[str, int] = {}
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone[0-9]*")):
        degrees = number(folder / "temp")
        if degrees is not None:
            name = text(folder / "type").strip() or folder.name
            found[name if name not in found else f"{name} ({folder.name})"] = degrees
    return found


def cooling(root: Path) -> list[str]:
    """The kernel's cooling devices that hold a processor back at this moment."""
    active = []
    for folder in sorted(root.glob("sys/class/thermal/cooling_device[0-9]*")):
        kind = text(folder / "type").strip()
        if _COOLING.search(kind) and (number(folder / "cur_state") or 0) > 0:
            active.append(kind)
    return active


def throttled(root: Path) -> int | None:
    """The flags of the Raspberry Pi's firmware, in hexadecimal without a prefix.

    A kernel that does not pass them on still has the firmware's under-voltage alarm: then this is
    bit 0 of them, and the others are not known (:func:`throttle_sources`).
    """
    flags = _firmware_flags(root)
    return _voltage_alarm(root) if flags is None else flags


def _firmware_flags(root: Path) -> int | None:
    for path in sorted(root.glob("sys/devices/platform/*/*firmware/get_throttled")):
        flags = text(path).strip().removeprefix("0x")
        if re.fullmatch(r"[0-9a-fA-F]+", flags):
            return int(flags, 16)
    return None


def _voltage_alarm(root: Path) -> int | None:
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if text(name).strip() == "rpi_volt":
            return number(name.with_name("in0_lcrit_alarm"))
    return None


def throttle_sources(root: Path) -> list[str]:
    """What tells on this machine that a processor is held back; nothing is no evidence of speed."""
    kinds = (text(path) for path in root.glob("sys/class/thermal/cooling_device[0-9]*/type"))
    found = {
        FLAGS: _firmware_flags(root) is not None,
        VOLTAGE: _voltage_alarm(root) is not None,
        EVENTS: throttle_events(root) is not None,
        COOLING: any(_COOLING.search(kind.strip()) for kind in kinds),
    }
    return [name for name, there in found.items() if there]


def throttle_events(root: Path) -> int | None:
    """x86: how often the processors lowered their speed because of heat."""
    paths = root.glob(f"{_CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [count for path in paths if (count := number(path)) is not None]
    return sum(counts) if counts else None


def board(root: Path) -> str:
    """The board's name, from the firmware, or from the kernel where Docker hides the firmware."""
    told = text(root / "proc/device-tree/model").strip("\0\n ")
    line = re.search(r"^Model\s*:[ \t]*(.+)$", text(root / "proc/cpuinfo"), re.MULTILINE)
    return told or (line.group(1).strip() if line else "")


def memory_stall_us(root: Path) -> int | None:
    """Time that some task waited for memory, in microseconds since boot (pressure stall)."""
    match = re.search(r"^some .*total=(\d+)$", text(root / "proc/pressure/memory"), re.MULTILINE)
    return int(match.group(1)) if match else None


def number(path: Path) -> int | None:
    digits = text(path).strip()
    return int(digits) if re.fullmatch(r"-?\d+", digits) else None


def text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
