"""Recorded machines, and a scenario policy that is quick."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinytx.measure.limits.groups import Place
from tinytx.measure.limits.hierarchy import Obstacle, find_place
from tinytx.measure.policy.scenarios import EndToEnd, FirstToken, NextToken, Scenarios, WarmUp

Tree = Callable[..., Path]

SMAPS = """55f12659f000-7ffcd7fe3000 ---p 00000000 00:00 0                          [rollup]
Rss:               50000 kB
Pss:               30000 kB
Shared_Clean:       1616 kB
Anonymous:         20000 kB
Swap:                  0 kB
"""
VM = {
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n"
    "flags\t\t: fpu sse4_2 avx avx2 fma hypervisor\n\nprocessor\t: 1\n"
    "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx avx2\n",
    "proc/stat": "cpu  1000 0 200 50000 10 0 5 3 0 0\ncpu0 1 0 0 0\ncpu1 1 0 0 0\nctxt 5\n",
    "proc/self/stat": "42 (a (b) c) R 1 1 1 0 -1 4194304 1 1 1 1 100 20 30 4 20 0 1 0\n",
    "proc/self/status": "Name:\tpython\nPPid:\t40\nVmHWM:\t   60000 kB\nVmRSS:\t 50000 kB\n"
    "Cpus_allowed_list:\t0-1\n",
    "proc/self/smaps_rollup": SMAPS,
    "proc/self/clear_refs": "",
    "proc/self/cgroup": "0::/\n",
    "proc/1/cmdline": "/sbin/init\0",
    "proc/40/cmdline": "bash\0",
    "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n"
    "SwapTotal: 1000 kB\nSwapFree: 400 kB\n",
    "proc/vmstat": "pgpgin 7\npswpin 10\npswpout 20\n",
    "proc/loadavg": "1.90 0.53 0.08 1/81 4061\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "proc/sys/kernel/osrelease": "6.18.44\n",
    "sys/devices/system/cpu/cpu0/online": "1\n",
}
PI4 = {
    **VM,
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/sys/kernel/arch": "aarch64\n",
    "sys/devices/system/cpu/cpu0/regs/identification/midr_el1": "0x00000000410fd083\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "cpufreq-dt\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/temp": "48199\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
}
QEMU_USER = {
    **VM,
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 3 (v8l)\n"
    "BogoMIPS\t: 100.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n",
    "proc/1/cmdline": "/usr/bin/qemu-aarch64\0/bin/sh\0",
}
MACHINES = {"vm": VM, "pi4": PI4, "qemu": QEMU_USER}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a root directory with a recorded machine's files, some of them changed.

    A change to None leaves the file out.
    """
    count = 0

    def make(name: str, changes: dict[str, str | None] | None = None) -> Path:
        nonlocal count
        count += 1
        root = tmp_path / f"machine{count}"
        for path, text in {**MACHINES[name], **(changes or {})}.items():
            if text is not None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
        return root

    return make


GROUP_FILES = {
    "memory.limit_in_bytes": "9223372036854771712",
    "memory.memsw.limit_in_bytes": "9223372036854771712",
    "memory.max_usage_in_bytes": "0",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "memory.peak": "0",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    "cgroup.procs": "",
}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel does with control groups: a new folder has files, a removed one loses them.

    The files of both versions, so that a wrong name of one of them changes nothing that is read.
    """
    mkdir = Path.mkdir

    def populated(path: Path, *rest: int, **more: bool) -> None:
        mkdir(path, *rest, **more)
        if path.name.startswith("tinytx-"):
            for name, text in GROUP_FILES.items():
                (path / name).write_text(text)

    monkeypatch.setattr(Path, "mkdir", populated)
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)


@pytest.fixture
def quick() -> Scenarios:
    """Few samples, and a warm-up that agrees with anything."""
    return Scenarios(
        next_token=NextToken(
            contexts=(16, "longest"), block=4, first_look=128, most=256, least_seconds=0
        ),
        first_token=FirstToken(prompts=("longest",), samples=3),
        end_to_end=EndToEnd(tokens=4, samples=2),
        warm_up=WarmUp(window=4, agreement=0.99, windows=500),
    )


@pytest.fixture
def place() -> Iterator[Place]:
    """Where real control groups can be made; skips where they cannot."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with find_place() as found:
        if isinstance(found, Obstacle):
            pytest.skip(f"no control groups here: {found.reason}")
        yield found
