"""The machine's testimony: what it is, and what it was doing, read from /proc and /sys.

Everything is read below one root directory, so that a recorded tree stands for a machine.
A file that is missing makes its fact unknown (None, "" or an empty list), never an error.
"""

import importlib.metadata
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

from tinytx import cgroup
from tinytx.errors import PrerequisiteError
from tinytx.measure.machine import containers, sensors
from tinytx.measure.machine.emulation import emulation_signs
from tinytx.measure.machine.sensors import Frequency, text

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


KERNEL_OPTIONS = (
    *("isolcpus", "nohz_full", "rcu_nocbs", "maxcpus", "nr_cpus", "nosmt", "mem", "mitigations"),
    *("cgroup_enable", "cgroup_disable", "cgroup_memory", "swapaccount", "psi", "idle"),
    *("transparent_hugepage", "intel_pstate", "amd_pstate", "processor.max_cstate", "preempt"),
)
"""Words of the kernel's command line that bear on measuring; the others are nobody's business."""


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counters since boot (or since the start of this process), to subtract from later ones."""

    busy: int = 0
    """Processor time spent by everyone on all cores, in clock ticks."""
    idle: int = 0
    stolen: int = 0
    """Processor time that the host took from this virtual machine, in clock ticks."""
    own: int = 0
    """Processor time of this process and of its finished children, in clock ticks."""
    swapped_pages: int = 0
    throttle_events: int | None = None
    """x86: times that the processor lowered its speed because of heat; None where it does not
    count them."""
    major_faults: int = 0
    """Pages that had to be read from storage, by anyone."""
    memory_stall_us: int | None = None
    """Time that some task waited for memory; None where the kernel does not count it."""
    uptime: float = 0.0
    """Seconds since boot: when the counters were read."""
    quota_stalled_us: int | None = None
    """For how long a quota of processor time stopped run queues; None without one."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One look at the machine."""

    processor: str
    device: str
    """The board, where the firmware or the kernel tells it ("Raspberry Pi 4 Model B Rev 1.4")."""
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
    """Of the cores that may be used; powersave when any of them has it."""
    frequency_driver: str
    frequency_khz: int | None
    """The lowest of these cores at this moment."""
    temperature_millicelsius: int | None
    """The hottest thermal zone."""
    throttled: int | None
    """Raspberry Pi firmware flags: bits 0 to 3 now, bits 16 to 19 since someone last asked."""
    load_1min: float | None
    group_limit: int | None
    """The least memory limit of the control group and of those above it, in bytes."""
    group_peak: int | None
    """Memory peak of the control group, in bytes: a second opinion on the peak."""
    emulation: list[str]
    """Signs that another machine is imitating this one; empty means none."""
    kernel: str
    python: str
    versions: dict[str, str]
    counters: Counters
    cores_allowed: str = ""
    """The affinity of this process, as the kernel tells it ("0-3")."""
    frequency: Frequency = field(default_factory=Frequency)
    temperatures: dict[str, int] = field(default_factory=dict)
    """Every thermal zone, in thousandths of a degree."""
    cooling: list[str] = field(default_factory=list)
    """The kernel's cooling devices that hold a processor back at this moment."""
    kernel_options: list[str] = field(default_factory=list)
    """Words of the kernel's command line that bear on measuring."""
    system: str = ""
    """The distribution."""
    libc: str = ""
    group_room: int | None = None
    """Bytes that may still be taken before a limit of a control group bites."""
    cpu_quota: float | None = None
    """The cores that control groups grant, as a share of time; None is no quota."""
    container: str = ""
    """What kind of container this is; empty on the machine itself."""
    throttle_sources: list[str] | None = None
    """What tells here that a processor is held back; None in a report of an earlier tinytx."""


def observe(root: Path = ROOT, architecture: str | None = None) -> Machine:
    """Look at the machine. Raises :class:`PrerequisiteError` when there is no /proc."""
    if not (root / "proc/stat").is_file():
        raise PrerequisiteError(
            f"there is no {root / 'proc/stat'}: this machine cannot be observed",
            "tinytx measures on Linux with /proc mounted",
        )
    architecture = architecture or platform.machine()
    information = text(root / "proc/cpuinfo")
    meminfo = _meminfo(root)
    allowed = _allowed(root)
    frequency = sensors.frequency(root, _core_numbers(allowed))
    temperatures = sensors.temperatures(root)
    groups = cgroup.memory(root)
    return Machine(
        processor=processor_name(information),
        device=sensors.board(root),
        architecture=architecture,
        features=_features(information),
        cores=_online_cores(root),
        usable_cores=len(_core_numbers(allowed)),
        memory_total=meminfo.get("MemTotal", 0),
        memory_available=meminfo.get("MemAvailable", 0),
        swap_total=meminfo.get("SwapTotal", 0),
        swap_used=meminfo.get("SwapTotal", 0) - meminfo.get("SwapFree", 0),
        governor=_governor(frequency),
        frequency_driver=frequency.driver,
        frequency_khz=frequency.slowest,
        temperature_millicelsius=max(temperatures.values(), default=None),
        throttled=sensors.throttled(root),
        load_1min=_load(root),
        group_limit=groups.limit,
        group_peak=groups.peak,
        emulation=emulation_signs(root, architecture),
        kernel=text(root / "proc/sys/kernel/osrelease").strip(),
        python=platform.python_version(),
        versions=_versions(),
        counters=read_counters(root),
        cores_allowed=allowed,
        frequency=frequency,
        temperatures=temperatures,
        cooling=sensors.cooling(root),
        kernel_options=_kernel_options(root),
        system=_system(root),
        libc=" ".join(platform.libc_ver()),
        group_room=groups.room,
        cpu_quota=cgroup.quota(root).cores,
        container=containers.kind(root),
        throttle_sources=sensors.throttle_sources(root),
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
    pairs = re.findall(r"^(\w+):\s+(\d+) kB$", text(root / "proc/meminfo"), re.MULTILINE)
    return {name: int(number) * 1_024 for name, number in pairs}


def _online_cores(root: Path) -> int:
    return len(re.findall(r"^cpu\d+ ", text(root / "proc/stat"), re.MULTILINE))


def _allowed(root: Path) -> str:
    status = text(root / "proc/self/status")
    match = re.search(r"^Cpus_allowed_list:\s*([\d,-]+)$", status, re.MULTILINE)
    return match.group(1) if match else ""


def _core_numbers(allowed: str) -> list[int]:
    """The cores of a list like "0-3,8"."""
    ends = [part.split("-") for part in allowed.split(",") if part]
    return [core for end in ends for core in range(int(end[0]), int(end[-1]) + 1)]


def _governor(frequency: Frequency) -> str:
    governors = frequency.governors
    return "powersave" if "powersave" in governors else next(iter(governors), "")


def _kernel_options(root: Path) -> list[str]:
    words = text(root / "proc/cmdline").split()
    return [word for word in words if word.partition("=")[0] in KERNEL_OPTIONS]


def _system(root: Path) -> str:
    release = text(root / "etc/os-release")
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    return match.group(1) if match else ""


def _load(root: Path) -> float | None:
    words = text(root / "proc/loadavg").split()
    return float(words[0]) if words else None


def read_counters(root: Path) -> Counters:
    """See proc(5): /proc/stat's cpu line, /proc/self/stat fields 14 to 17, /proc/vmstat."""
    line = text(root / "proc/stat").partition("\n")[0].split()[1:]
    user, nice, system, idle, wait, irq, soft, stolen = ([int(w) for w in line] + [0] * 8)[:8]
    after_name = text(root / "proc/self/stat").rpartition(")")[2].split()
    pairs = re.findall(r"^(pswpin|pswpout|pgmajfault) (\d+)$", text(root / "proc/vmstat"), re.M)
    vmstat = {name: int(number) for name, number in pairs}
    uptime = text(root / "proc/uptime").split()
    return Counters(
        busy=user + nice + system + irq + soft,
        idle=idle + wait,
        stolen=stolen,
        own=sum(int(word) for word in after_name[11:15]),
        swapped_pages=vmstat.get("pswpin", 0) + vmstat.get("pswpout", 0),
        throttle_events=sensors.throttle_events(root),
        major_faults=vmstat.get("pgmajfault", 0),
        memory_stall_us=sensors.memory_stall_us(root),
        uptime=float(uptime[0]) if uptime else 0.0,
        quota_stalled_us=cgroup.quota(root).stalled_us,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
