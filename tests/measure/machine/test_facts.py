"""What a machine says of itself, from recorded trees and from this machine."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.errors import PrerequisiteError
from tinytx.measure.machine.facts import Counters, observe

Tree = Callable[..., Path]


def test_a_virtual_machine_is_read(tree: Tree) -> None:
    machine = observe(tree("vm"), "x86_64")
    assert (machine.processor, machine.cores, machine.usable_cores) == ("AMD EPYC", 2, 2)
    assert machine.features == ["sse4_2", "avx", "avx2", "fma"]
    assert (machine.swap_total, machine.swap_used) == (1_024_000, 614_400)
    assert (machine.governor, machine.throttled, machine.device) == ("", None, "")
    assert machine.emulation == []
    assert machine.counters == Counters(busy=1205, idle=50010, stolen=3, own=154, swapped_pages=30)


def test_a_raspberry_pi_is_read(tree: Tree) -> None:
    machine = observe(tree("pi4"), "aarch64")
    assert (machine.processor, machine.device) == ("Cortex-A72", "Raspberry Pi 4 Model B Rev 1.4")
    assert (machine.governor, machine.frequency_khz) == ("ondemand", 1_500_000)
    assert (machine.temperature_millicelsius, machine.throttled) == (48_199, 0)
    assert (machine.features, machine.emulation) == (["asimd"], [])


def test_firmware_flags_are_hexadecimal_with_or_without_a_prefix(tree: Tree) -> None:
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    for text in ("50005\n", "0x50005\n"):
        assert observe(tree("pi4", {file: text}), "aarch64").throttled == 0x50005
    assert observe(tree("pi4", {file: "oops"}), "aarch64").throttled is None


def test_the_under_voltage_alarm_stands_in_for_the_flags(tree: Tree) -> None:
    alarm = {
        "sys/devices/platform/soc/soc:firmware/get_throttled": None,
        "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
    }
    assert observe(tree("pi4", alarm), "aarch64").throttled == 1


CPUINFO = (
    "processor\t: 0\nCPU part\t: 0xd08\n\nSerial\t\t: 100000002a4b\nModel\t\t: Raspberry Pi 4\n"
)


def test_a_board_is_known_by_the_kernel_where_a_container_hides_the_firmware(tree: Tree) -> None:
    hidden = {"proc/device-tree/model": None, "proc/cpuinfo": CPUINFO, ".dockerenv": ""}
    machine = observe(tree("pi4", hidden), "aarch64")
    assert (machine.device, machine.processor) == ("Raspberry Pi 4", "Cortex-A72")
    assert machine.container == "Docker"
    assert "2a4b" not in str(machine)


def test_limits_and_quotas_of_the_groups_above_are_facts(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": "300000000\n",
        "sys/fs/cgroup/a/memory.current": "100000000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/a/b/cpu.stat": "nr_throttled 3\nthrottled_usec 1234\n",
    }
    machine = observe(tree("vm", files), "x86_64")
    assert (machine.group_limit, machine.group_room) == (300_000_000, 200_000_000)
    assert (machine.cpu_quota, machine.counters.quota_stalled_us) == (0.5, 1_234)


def test_the_worst_governor_and_the_slowest_core_are_told(tree: Tree) -> None:
    second = "sys/devices/system/cpu/cpu1/cpufreq"
    changes = {
        f"{second}/scaling_governor": "powersave\n",
        f"{second}/scaling_cur_freq": "600000\n",
        "sys/class/thermal/thermal_zone3/temp": "61000\n",
    }
    machine = observe(tree("pi4", changes), "aarch64")
    assert (machine.governor, machine.frequency.governors) == (
        "powersave",
        ["ondemand", "powersave"],
    )
    assert (machine.frequency_khz, machine.frequency.fastest) == (600_000, 1_500_000)
    assert machine.temperature_millicelsius == 61_000
    alone = {**changes, "proc/self/status": "Cpus_allowed_list:\t0\n"}
    assert observe(tree("pi4", alone), "aarch64").governor == "ondemand"


def test_only_words_of_the_kernel_command_line_that_bear_on_measuring_are_kept(tree: Tree) -> None:
    line = "root=UUID=secret cgroup_disable=memory isolcpus=3 token=abc psi=1 quiet\n"
    machine = observe(tree("pi4", {"proc/cmdline": line}), "aarch64")
    assert machine.kernel_options == ["cgroup_disable=memory", "isolcpus=3", "psi=1"]


def test_the_distribution_and_the_counters_of_memory_are_read(tree: Tree) -> None:
    changes = {
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "proc/uptime": "812.25 1500.00\n",
        "proc/vmstat": "pgmajfault 17\npswpin 1\npswpout 2\n",
        "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=99\n",
    }
    machine = observe(tree("vm", changes), "x86_64")
    assert machine.system == "Debian GNU/Linux 12 (bookworm)"
    counted = machine.counters
    assert (counted.uptime, counted.major_faults, counted.swapped_pages) == (812.25, 17, 3)
    assert counted.memory_stall_us == 99


def test_affinity_lists_are_counted(tree: Tree) -> None:
    root = tree("vm", {"proc/self/status": "Cpus_allowed_list:\t0-3,8,10-11\n"})
    assert observe(root, "x86_64").usable_cores == 7


def test_no_proc_is_a_clear_message(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="cannot be observed"):
        observe(tmp_path)


def test_this_machine_agrees_with_what_python_knows() -> None:
    machine = observe()
    assert machine.usable_cores == len(os.sched_getaffinity(0))
    assert machine.architecture == platform.machine()
    assert machine.kernel == platform.release()
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    assert machine.memory_total == page * pages
    assert abs(machine.counters.own / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])) < 0.5
