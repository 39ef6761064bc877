"""The machine's testimony: what it is, and what it was doing, read from /proc and /sys.

Everything is read below one root directory, so that a recorded tree stands for a machine.
A file that is missing makes its fact unknown (None, "" or an empty list), never an error.
"""

import importlib.metadata
import platform
import re
from pathlib import Path

import msgspec

from tinytx.errors import PrerequisiteError
from tinytx.measure import memory
from tinytx.measure.emulation import emulation_signs

ROOT = Path("/")
LIBRARIES = ("tinytx", "numpy", "onnxruntime", "sentencepiece", "msgspec", "psutil")
FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("neon", "asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since boot (or since the start of this process), to subtract from later ones."""

    busy: int = 0
    """Processor time spent by everyone on all cores, in clock ticks."""
    idle: int = 0
    stolen: int = 0
    """Processor time that the host took from this virtual machine, in clock ticks."""
    own: int = 0
    """Processor time of this process and of its finished children, in clock ticks."""
    swapped_pages: int = 0
    throttle_events: int = 0
    """x86: times that the processor lowered its speed because of heat."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the machine."""

    processor: str
    device: str
    """The board, where the firmware tells it ("Raspberry Pi 4 Model B Rev 1.4")."""
    architecture: str
    features: list[str]
    """Instruction sets that matter to matrix products, of those that the processor has."""
    cores: int
    usable_cores: int
    """Cores that this process may run on."""
    memory_total: int
    memory_available: int
    swap_total: int
    swap_used: int
    governor: str
    frequency_driver: str
    frequency_khz: int | None
    temperature_millicelsius: int | None
    throttled: int | None
    """Raspberry Pi firmware flags: bits 0 to 3 now, bits 16 to 19 since boot."""
    load_1min: float | None
    group_limit: int | None
    """Memory limit of the control group, in bytes."""
    group_peak: int | None
    """Memory peak of the control group, in bytes: a second opinion on the peak."""
    emulation: list[str]
    """Signs that another machine is imitating this one; empty means none."""
    kernel: str
    python: str
    versions: dict[str, str]
    counters: Counters


def observe(root: Path = ROOT, architecture: str | None = None) -> Machine:
    """Look at the machine. Raises :class:`PrerequisiteError` when there is no /proc."""
    if not (root / "proc/stat").is_file():
        raise PrerequisiteError(
            f"there is no {root / 'proc/stat'}: this machine cannot be observed",
            "tinytx measures on Linux with /proc mounted",
        )
    architecture = architecture or platform.machine()
    information = _text(root / "proc/cpuinfo")
    meminfo = _meminfo(root)
    cpufreq = root / "sys/devices/system/cpu/cpu0/cpufreq"
    limit, peak = memory.group_peak(root)
    return Machine(
        processor=processor_name(information),
        device=_text(root / "proc/device-tree/model").strip("\0\n "),
        architecture=architecture,
        features=_features(information),
        cores=_online_cores(root),
        usable_cores=_usable_cores(root),
        memory_total=meminfo.get("MemTotal", 0),
        memory_available=meminfo.get("MemAvailable", 0),
        swap_total=meminfo.get("SwapTotal", 0),
        swap_used=meminfo.get("SwapTotal", 0) - meminfo.get("SwapFree", 0),
        governor=_text(cpufreq / "scaling_governor").strip(),
        frequency_driver=_text(cpufreq / "scaling_driver").strip(),
        frequency_khz=_number(cpufreq / "scaling_cur_freq"),
        temperature_millicelsius=_number(root / "sys/class/thermal/thermal_zone0/temp"),
        throttled=_throttled(root),
        load_1min=_load(root),
        group_limit=limit,
        group_peak=peak,
        emulation=emulation_signs(root, architecture),
        kernel=_text(root / "proc/sys/kernel/osrelease").strip(),
        python=platform.python_version(),
        versions=_versions(),
        counters=_counters(root),
    )


def processor_name(information: str) -> str:
    """The processor of a /proc/cpuinfo; on ARM from the part number, since no name is there."""
    pairs: list[tuple[str, str]] = re.findall(
        r"^([^\t:\n]+?)\s*:[ \t]*(.*)$", information, re.MULTILINE
    )
    fields = dict(pairs)
    if part := fields.get("CPU part"):
        return ARM_PARTS.get(part, f"ARM part {part}")
    return fields.get("model name", fields.get("Model", "unknown")).strip()


def _features(information: str) -> list[str]:
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", information, re.MULTILINE)
    present = set(match.group(1).split()) if match else set()
    return [feature for feature in FEATURES if feature in present]


def _meminfo(root: Path) -> dict[str, int]:
    """The fields of /proc/meminfo in bytes."""
    pairs = re.findall(r"^(\w+):\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return {name: int(number) * 1_024 for name, number in pairs}


def _online_cores(root: Path) -> int:
    return len(re.findall(r"^cpu\d+ ", _text(root / "proc/stat"), re.MULTILINE))


def _usable_cores(root: Path) -> int:
    """The size of Cpus_allowed_list, "0-3,8"."""
    status = _text(root / "proc/self/status")
    match = re.search(r"^Cpus_allowed_list:\s*([\d,-]+)$", status, re.MULTILINE)
    ends = [part.split("-") for part in match.group(1).split(",")] if match else []
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _throttled(root: Path) -> int | None:
    """The flags of the Raspberry Pi's firmware, in hexadecimal without a prefix.

    A kernel that does not pass them on still has the firmware's under-voltage alarm (bit 0).
    """
    for path in sorted(root.glob("sys/devices/platform/*/*firmware/get_throttled")):
        text = _text(path).strip().removeprefix("0x")
        if re.fullmatch(r"[0-9a-fA-F]+", text):
            return int(text, 16)
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if _text(name).strip() == "rpi_volt":
            return _number(name.with_name("in0_lcrit_alarm"))
    return None


def _load(root: Path) -> float | None:
    words = _text(root / "proc/loadavg").split()
    return float(words[0]) if words else None


def _counters(root: Path) -> Counters:
    """See proc(5): /proc/stat's cpu line, /proc/self/stat fields 14 to 17, /proc/vmstat."""
    line = _text(root / "proc/stat").partition("\n")[0].split()[1:]
    user, nice, system, idle, wait, irq, soft, stolen = ([int(w) for w in line] + [0] * 8)[:8]
    after_name = _text(root / "proc/self/stat").rpartition(")")[2].split()
    vmstat = re.findall(r"^pswp(?:in|out) (\d+)$", _text(root / "proc/vmstat"), re.MULTILINE)
    heat = root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    return Counters(
        busy=user + nice + system + irq + soft,
        idle=idle + wait,
        stolen=stolen,
        own=sum(int(word) for word in after_name[11:15]),
        swapped_pages=sum(int(number) for number in vmstat),
        throttle_events=sum(_number(path) or 0 for path in heat),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
