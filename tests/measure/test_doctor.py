"""Every check, on recorded machines and with libraries that die in the oddest ways."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.errors import PrerequisiteError
from tinytx.measure import doctor
from tinytx.measure.doctor import Ability, Check, Diagnosis, diagnose, failure
from tinytx.measure.limits.groups import Place
from tinytx.measure.machine import native
from tinytx.measure.machine.facts import observe
from tinytx.packages import requirement

Tree = Callable[..., Path]


def interpreter(folder: Path, script: str) -> list[str]:
    """A stand-in for Python: a shell script."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return [str(path)]


def test_a_library_that_works_is_told_with_its_version() -> None:
    import numpy

    check = doctor.check_library("numpy", [sys.executable, "-P"])
    assert (check.ok, check.found) == (True, numpy.__version__)


@pytest.mark.parametrize(
    ("name", "script", "found", "remedy"),
    [
        (
            "onnxruntime",
            "kill -ILL $$",
            "illegal instruction: this build does not run on this processor",
            "another version of onnxruntime",
        ),
        ("numpy", "kill -SEGV $$", "importing numpy crashes (signal 11)", "another version"),
        ("numpy", "echo oops >&2; exit 1", "importing numpy fails: oops", "force-reinstall"),
        ("numpy", "exit 1", "importing numpy fails: no message", "force-reinstall"),
        (
            "torch",
            "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1",
            "not installed: cannot train",
            f" {requirement('torch')}",
        ),
        (
            "onnx",
            "echo \"ModuleNotFoundError: No module named 'onnx'\" >&2; exit 1",
            "not installed: cannot export",
            "pip install 'onnx>=1.18'",
        ),
    ],
)
def test_a_library_that_does_not_work_says_why_and_what_to_do(
    tmp_path: Path, name: str, script: str, found: str, remedy: str
) -> None:
    check = doctor.check_library(name, interpreter(tmp_path, script))
    assert (check.ok, check.found) == (False, found)
    assert remedy in check.remedy


def test_an_import_that_hangs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "IMPORT_SECONDS", 0.2)
    check = doctor.check_library("numpy", interpreter(tmp_path, "exec sleep 20"))
    assert "importing numpy hangs" in check.found
    assert Ability.RUN in check.prevents


NO_TORCH = """case "$*" in
*torch*) echo "ModuleNotFoundError: No module named 'torch'" >&2; exit 1;;
*) echo 1.0;;
esac"""


def test_without_torch_a_machine_still_runs_and_is_measured(tree: Tree, tmp_path: Path) -> None:
    diagnosis = diagnose(tree("vm"), tmp_path, interpreter(tmp_path, NO_TORCH))
    assert [ability for ability in Ability if diagnosis.can(ability)] == ["run", "be measured"]
    assert failure(diagnosis) is None


def test_a_dead_onnxruntime_prevents_everything(tree: Tree, tmp_path: Path) -> None:
    script = 'case "$*" in *onnxruntime*) kill -ILL $$;; *) echo 1.0;; esac'
    diagnosis = diagnose(tree("vm"), tmp_path, interpreter(tmp_path, script))
    error = failure(diagnosis)
    assert isinstance(error, PrerequisiteError)
    assert error.message == "this machine cannot run or be measured"
    assert "another version of onnxruntime" in error.remedy


GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("name", "architecture", "changes", "problem"),
    [
        ("vm", "x86_64", {}, None),
        ("pi4", "aarch64", {}, None),
        ("vm", "x86_64", {"proc/loadavg": "9 9 9 1/1 1"}, None),
        ("pi4", "aarch64", {GOVERNOR: "powersave\n"}, "processor speed"),
        ("pi4", "aarch64", {THROTTLED: "50005\n"}, "processor speed"),
        ("pi4", "aarch64", {THROTTLED: "50000\n"}, None),
        ("qemu", "aarch64", {}, "processor"),
        ("vm", "x86_64", {"proc/self/smaps_rollup": None}, "smaps_rollup"),
        ("vm", "x86_64", {"proc/stat": None}, "/proc"),
    ],
)
def test_what_prevents_measuring(
    tree: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    architecture: str,
    changes: dict[str, str | None],
    problem: str | None,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: architecture)
    diagnosis = diagnose(tree(name, changes), tmp_path, interpreter(tmp_path, "echo 1.0"))
    preventing = [c.name for c in diagnosis.checks if not c.ok and Ability.MEASURE in c.prevents]
    assert preventing == ([problem] if problem else [])
    assert diagnosis.can(Ability.RUN)
    assert diagnosis.healthy == (problem is None)


def test_little_memory_prevents_training_and_very_little_everything(tree: Tree) -> None:
    def check(kilobytes: int) -> Check:
        text = f"MemTotal: 4000000 kB\nMemAvailable: {kilobytes} kB\n"
        return doctor.check_memory(observe(tree("vm", {"proc/meminfo": text}), "x86_64"))

    assert check(3_000_000).ok
    assert check(600_000).prevents == ()
    assert "--preset low-memory" in check(600_000).remedy
    assert check(350_000).prevents == (Ability.TRAIN, Ability.EXPORT)
    assert check(140_000).prevents == (Ability.MEASURE, Ability.TRAIN, Ability.EXPORT)
    assert check(90_000).prevents == doctor.ALL
    assert "100 MB are needed" in check(90_000).remedy


ABOVE = {
    "proc/self/cgroup": "0::/user.slice/mine\n",
    "sys/fs/cgroup/user.slice/memory.max": "300000000\n",
    "sys/fs/cgroup/user.slice/mine/memory.max": "max\n",
}


def test_a_limit_of_a_group_above_decides_what_can_be_trained(tree: Tree) -> None:
    check = doctor.check_memory(observe(tree("vm", ABOVE), "x86_64"))
    assert check.prevents == (Ability.TRAIN, Ability.EXPORT)
    assert "the control groups of this process allow 300 MB" in check.found
    assert check.remedy == "raise that limit: 400 MB are needed"


def test_what_others_of_a_group_have_taken_is_gone(tree: Tree) -> None:
    taken = {"sys/fs/cgroup/user.slice/memory.current": "220000000\n"}
    check = doctor.check_memory(observe(tree("vm", {**ABOVE, **taken}), "x86_64"))
    assert check.prevents == doctor.ALL


def test_a_quota_is_told_beside_the_cores(tree: Tree) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
    check = doctor.check_emulation(observe(tree("vm", files), "x86_64"))
    assert check.found.endswith("; a CPU quota grants 0.5 cores")


VOLT = {
    THROTTLED: None,
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
}


@pytest.mark.parametrize(
    ("name", "changes", "ok", "words"),
    [
        ("pi4", {}, True, "ondemand"),
        ("pi4", VOLT, None, "not known: a capped frequency and throttling and the temperature"),
        ("pi4", {THROTTLED: None}, None, "not known: whether heat or power slowed the processor"),
        ("vm", {}, None, "nothing here tells it"),
        ("vm", {"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0"}, True, ""),
        ("pi4", {**VOLT, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, False, "under-voltage"),
    ],
)
def test_no_evidence_of_throttling_is_no_evidence_of_speed(
    tree: Tree, name: str, changes: dict[str, str | None], ok: bool | None, words: str
) -> None:
    check = doctor.check_speed(observe(tree(name, changes), "aarch64"))
    assert check.ok is ok
    assert words in check.found


def in_a_container(tree: Tree, changes: dict[str, str | None] | None = None) -> Path:
    files = {".dockerenv": "", "sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}
    return tree("vm", {**files, **(changes or {})})


def test_advice_in_a_container_can_be_followed_there(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.delenv("CXX", raising=False)
    little = {"proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 90000 kB\n"}
    missing = "for last; do :; done; echo \"ModuleNotFoundError: No module named 'x'\" >&2; exit 1"
    root = in_a_container(tree, {**little, GOVERNOR: "powersave\n"})
    diagnosis = diagnose(root, tmp_path, interpreter(tmp_path, missing))
    remedies = {check.name: check.remedy for check in diagnosis.checks if not check.ok}
    assert {"numpy", "torch", "memory", "processor speed", "memory limit"} <= set(remedies)
    for name, remedy in remedies.items():
        for word in ("apt ", "pip ", "systemd-run"):
            assert word not in remedy, (name, remedy)
    assert "docker compose run --rm train" in remedies["torch"]
    assert "another image" in remedies["numpy"]
    assert remedies["memory"] == "on the host: close other programs: 100 MB are needed"
    assert remedies["processor speed"].startswith("on the host: ")
    assert "tinytx bench --container" in remedies["memory limit"]


def test_a_limited_container_is_told_where_its_limit_stands(tree: Tree, tmp_path: Path) -> None:
    limited = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "90000000\n"}
    diagnosis = diagnose(in_a_container(tree, limited), tmp_path, interpreter(tmp_path, "echo 1.0"))
    (memory,) = [check for check in diagnosis.checks if check.name == "memory"]
    assert memory.remedy.startswith("raise that limit: 100 MB are needed (`mem_limit` in compose")


def test_a_container_that_is_limited_from_outside_does_not_say_that_it_is_not(tree: Tree) -> None:
    limited = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "512000000\n"}
    check = doctor.check_limit(in_a_container(tree, limited))
    assert "a limit of 512 MB, set from outside, holds the bench" in check.found


def test_a_stock_raspberry_pi_is_told_how_to_get_memory_limits(tree: Tree) -> None:
    files = {
        "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n",
        "proc/cmdline": "cgroup_disable=memory rootwait",
    }
    check = doctor.check_limit(tree("pi4", files))
    assert not check.ok
    assert check.prevents == ()
    assert "cannot be proven: the memory controller is off" in check.found
    assert "cgroup_enable=memory cgroup_memory=1" in check.remedy


@pytest.mark.root
def test_a_real_limit_is_tried_out(place: Place) -> None:
    check = doctor.check_limit(Path("/"))
    assert check.ok, check
    assert f"control group, version {place.version}" in check.found


def test_python_is_old_enough_or_not() -> None:
    assert doctor.check_python((3, 11, 0)).ok
    assert not doctor.check_python((3, 10, 9)).ok
    assert doctor.check_python((4, 0)).ok


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert not doctor.check_disk(tmp_path / "nothing").ok


def test_no_compiler_is_mere_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.delenv("CXX", raising=False)
    check = doctor.check_compiler()
    assert not check.ok
    assert Diagnosis(checks=[check], machine=None).healthy
