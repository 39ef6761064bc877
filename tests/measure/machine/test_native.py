"""How an import ended is told from how the child died; boards are named by their instructions."""

import subprocess
import sys
from pathlib import Path

import pytest

from tinytx.measure.machine import native

PI4 = "Features\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
PI5 = (
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
    "asimdrdm lrcpc dcpop asimddp\n"
)
EMULATED_A53 = "Features\t: fp asimd aes pmull sha1 sha2 crc32 cpuid\n"
OLD = ["Pi 3", "Zero 2 W", "Pi 4"]


def dying(folder: Path, script: str, cpuinfo: str = "") -> native.Import:
    """Import numpy with a stand-in for Python on a machine with this /proc/cpuinfo."""
    (folder / "proc").mkdir()
    (folder / "proc/cpuinfo").write_text(cpuinfo)
    return native.try_import("numpy", ["/bin/sh", "-c", script, "sh"], folder)


@pytest.mark.parametrize(
    ("cpuinfo", "boards"),
    [
        (PI4, OLD),
        (EMULATED_A53, OLD),
        (PI5, [*OLD, "Pi 5"]),
        ("flags\t: fpu sse2\n", []),
        ("Features\t: fp asimd\n", []),
    ],
)
def test_boards_that_have_no_more_instructions_lack_the_same_one(
    tmp_path: Path, cpuinfo: str, boards: list[str]
) -> None:
    found = dying(tmp_path, "kill -ILL $$", cpuinfo).found
    where = ", ".join(boards) or "this processor"
    assert found == f"illegal instruction: this build does not run on {where}"


def test_a_signal_that_a_shell_reports_is_the_same_illegal_instruction(tmp_path: Path) -> None:
    found = dying(tmp_path, "exit 132", PI4)
    assert found.found == "illegal instruction: this build does not run on Pi 3, Zero 2 W, Pi 4"
    assert "another version of numpy" in found.remedy


def test_another_signal_is_no_illegal_instruction(tmp_path: Path) -> None:
    assert dying(tmp_path, "kill -SEGV $$", PI4).found == "importing numpy crashes (signal 11)"


def test_without_cpuinfo_no_board_is_named(tmp_path: Path) -> None:
    found = native.illegal_instruction(tmp_path)
    assert found == "illegal instruction: this build does not run on this processor"


def test_the_module_loads_no_native_library_itself() -> None:
    code = "import sys, tinytx.measure.machine.native; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)
    names = set(loaded.stdout.decode().split())
    assert not names & {*native.LIBRARIES, "rich"}
