"""Speed and heat from files: all cores, all zones, and files that are missing or odd."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure.machine import sensors
from tinytx.measure.machine.sensors import Frequency

Tree = Callable[..., Path]
CPU = "sys/devices/system/cpu"


def cores(**khz: int) -> dict[str, str]:
    files = {}
    for name, now in khz.items():
        folder = f"{CPU}/{name}/cpufreq"
        files |= {
            f"{folder}/scaling_governor": "schedutil\n",
            f"{folder}/scaling_driver": "cpufreq-dt\n",
            f"{folder}/scaling_cur_freq": f"{now}\n",
            f"{folder}/scaling_max_freq": "1200000\n",
            f"{folder}/cpuinfo_max_freq": "1500000\n",
        }
    return files


def test_frequencies_span_all_cores_that_may_be_used(tree: Tree) -> None:
    root = tree("vm", cores(cpu0=900_000, cpu1=1_200_000, cpu10=600_000))
    everywhere = sensors.frequency(root)
    assert (everywhere.slowest, everywhere.fastest) == (600_000, 1_200_000)
    assert everywhere.governors == ["schedutil"]
    assert everywhere.capped == pytest.approx(0.8)
    assert sensors.frequency(root, [0, 1]).slowest == 900_000
    (root / f"{CPU}/cpu1/cpufreq/scaling_max_freq").write_text("750000\n")
    assert sensors.frequency(root).capped == 0.5


def test_a_machine_without_frequencies_has_none(tree: Tree) -> None:
    assert sensors.frequency(tree("vm")) == Frequency()


def test_every_thermal_zone_is_read_and_equal_names_stay_apart(tree: Tree) -> None:
    zone = "sys/class/thermal/thermal_zone"
    files = {
        f"{zone}0/type": "cpu-thermal\n", f"{zone}0/temp": "48199\n",
        f"{zone}1/type": "acpitz\n", f"{zone}1/temp": "-5000\n",
        f"{zone}2/type": "acpitz\n", f"{zone}2/temp": "30000\n",
        f"{zone}3/type": "broken\n", f"{zone}3/temp": "oops\n",
        f"{zone}4/temp": "1\n",
    }  # fmt: skip
    assert sensors.temperatures(tree("vm", files)) == {
        "cpu-thermal": 48_199,
        "acpitz": -5_000,
        "acpitz (thermal_zone2)": 30_000,
        "thermal_zone4": 1,
    }


@pytest.mark.parametrize(
    ("kind", "state", "active"),
    [
        ("thermal-cpufreq-0", "1", True),
        ("cpufreq-cpu4", "3", True),
        ("Processor", "2", True),
        ("intel_powerclamp", "-1", False),
        ("thermal-cpufreq-0", "0", False),
        ("thermal-devfreq-0", "4", False),  # a graphics processor
        ("pwm-fan", "4", False),
        ("Processor", "", False),
    ],
)
def test_only_devices_that_slow_a_processor_down_count_as_cooling(
    tree: Tree, kind: str, state: str, active: bool
) -> None:
    folder = "sys/class/thermal/cooling_device0"
    root = tree("vm", {f"{folder}/type": kind + "\n", f"{folder}/cur_state": state + "\n"})
    assert sensors.cooling(root) == ([kind] if active else [])


def test_memory_pressure_is_the_total_of_some(tree: Tree) -> None:
    pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 total=45\n"
    assert sensors.memory_stall_us(tree("vm", {"proc/pressure/memory": pressure})) == 123
    assert sensors.memory_stall_us(tree("vm")) is None


def test_no_sensor_is_never_an_error(tmp_path: Path) -> None:
    assert sensors.throttled(tmp_path) is None
    assert sensors.throttle_events(tmp_path) is None
    assert sensors.throttle_sources(tmp_path) == []
    assert sensors.temperatures(tmp_path) == {}
    assert sensors.cooling(tmp_path) == []
