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
    assert check(900_000).prevents == (Ability.TRAIN, Ability.EXPORT)
    assert check(100_000).prevents == doctor.ALL
    assert "400 MB are needed" in check(100_000).remedy


def test_a_control_group_limits_the_memory_too(tree: Tree) -> None:
    group = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "200000000\n",
        "sys/fs/cgroup/memory.peak": "7\n",
    }
    check = doctor.check_memory(observe(tree("vm", group), "x86_64"))
    assert check.prevents == doctor.ALL


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
