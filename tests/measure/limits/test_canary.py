"""The canary: dead by the limit, alive in spite of it, dead of something else, never run."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.measure.limits import canary as canaries
from tinytx.measure.limits.canary import LimitProof, guard, prove
from tinytx.measure.limits.groups import ENTER, Place, temporary_group

Tree = Callable[..., Path]

MEMINFO = {"proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n"}
V1 = {
    "proc/self/cgroup": "4:memory:/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}
V2 = {
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/cgroup.controllers": "memory\n",
    "sys/fs/cgroup/cgroup.subtree_control": "memory\n",
    "sys/fs/cgroup/cgroup.procs": "",
}
MB = 1_024_000  # 250 pages


def canary(code: str) -> tuple[str, ...]:
    """A canary that finds its group, as the real kernel would, through the files of this one."""
    where = "import glob, os, sys; group = glob.glob('**/tinytx-*-*', recursive=True)[0];"
    return (sys.executable, "-I", "-S", "-c", f"{where} {code}")


def killed(version: int, touched: int = 9 * MB) -> tuple[str, ...]:
    """Dies as of a limit: the kernel's counters move, and SIGKILL comes."""
    files = {
        1: "'/memory.oom_control': 'oom_kill 1', '/memory.max_usage_in_bytes': str(10 * 1024000)",
        2: "'/memory.events': 'max 5\\noom_kill 1\\n'",
    }
    writes = f"[open(group + n, 'w').write(t) for n, t in {{{files[version]}}}.items()];"
    return canary(f"print({touched}, flush=True); {writes} os.kill(os.getpid(), 9)")


@pytest.mark.parametrize(("version", "files"), [(1, V1), (2, V2)])
def test_a_canary_that_the_limit_kills_proves_it(
    tree: Tree, kernel: None, monkeypatch: pytest.MonkeyPatch, version: int, files: dict[str, str]
) -> None:
    root = tree("vm", {**files, **MEMINFO})
    monkeypatch.chdir(root)
    with guard(10 * MB, root, killed(version)) as found:
        assert found.proof == LimitProof(
            enforced=True,
            limit=10 * MB,
            mechanism=f"control group, version {version}",
            reason="",
            canary="killed by the kernel: touched 9 MB of 12 MB",
        )
        assert found.limit == 10 * MB
        with found.group() as group:
            assert group is not None
            assert group.limit == 10 * MB
    assert not list(root.rglob("tinytx-*"))


@pytest.mark.parametrize(
    ("code", "reason", "fate"),
    [
        ("print(11520000)", "was set and ignored: a process took more and lived", "survived"),
        ("os.kill(os.getpid(), 9)", "not by the kernel for want of memory", "ended with -9"),
        (
            "open(group + '/memory.events', 'w').write('oom_kill 1'); os.kill(os.getpid(), 9)",
            "before it came to its limit: a group above that cannot be seen from here",
            "ended with -9",
        ),
        ("sys.exit(3)", "the canary ended with 3", "ended with 3: touched 0 MB"),
    ],
)
def test_any_other_end_proves_nothing_and_the_bench_goes_on_without_a_limit(
    tree: Tree, kernel: None, monkeypatch: pytest.MonkeyPatch, code: str, reason: str, fate: str
) -> None:
    root = tree("vm", {**V2, **MEMINFO})
    monkeypatch.chdir(root)
    with guard(10 * MB, root, canary(code)) as found:
        assert found.proof is not None
        assert not found.proof.enforced
        assert reason in found.proof.reason
        assert fate in found.proof.canary
        with found.group() as group:
            assert group is not None
            assert group.limit is None


ABOVE = {
    **V2,
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/cgroup.procs": "",
    "sys/fs/cgroup/a/memory.max": "80000000\n",
    "sys/fs/cgroup/a/b/cgroup.procs": "",
}


def test_the_limit_of_a_group_above_that_killed_is_named(
    tree: Tree, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("vm", {**ABOVE, **MEMINFO})
    monkeypatch.chdir(root)
    code = (  # meanwhile someone has lowered it
        "open('sys/fs/cgroup/a/memory.max', 'w').write('5000000');"
        "open(group + '/memory.events', 'w').write('oom_kill 1'); os.kill(os.getpid(), 9)"
    )
    with guard(10 * MB, root, canary(code)) as found:
        assert found.proof is not None
        said = (
            f"killed the canary at another limit: that of the group {root}/sys/fs/cgroup/a (5 MB)"
        )
        assert said in found.proof.reason
        assert found.proof.remedy.startswith("give that group more memory")


def test_no_canary_runs_where_a_group_above_leaves_too_little(tree: Tree, kernel: None) -> None:
    taken = {"sys/fs/cgroup/a/memory.current": "9000000\n"}
    root = tree("vm", {**ABOVE, **taken, **MEMINFO})
    with guard(10 * MB, root, ("/nothing/at/all",)) as found:
        proof = found.proof
        assert proof is not None
        assert proof.canary == "not run"
        assert f"the limit of the group {root}/sys/fs/cgroup/a (80 MB) leaves 71 MB" in proof.reason
        assert proof.holds == 80_000_000


def test_a_kill_that_the_machine_counts_is_the_kernel_s(
    tree: Tree, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("vm", {**V2, **MEMINFO, "proc/vmstat": "oom_kill 4\n"})
    monkeypatch.chdir(root)
    code = "open('proc/vmstat', 'w').write('oom_kill 5\\n'); os.kill(os.getpid(), 9)"
    with guard(10 * MB, root, canary(code)) as found:
        assert found.proof is not None
        assert found.proof.reason.startswith("the kernel killed the canary before")


def test_where_no_group_can_be_made_a_limit_from_outside_is_told_all_the_same(
    tree: Tree,
) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "512000000\n"}
    with guard(10 * MB, tree("vm", files), ("/nothing/at/all",)) as found:
        proof = found.proof
        assert proof is not None
        assert (proof.enforced, proof.holds) == (False, 512_000_000)
        assert proof.doubt == (
            f"{proof.reason}; but a limit of 512 MB, set from outside, holds the bench and the "
            "model together (no canary has tried it)"
        )


def test_a_canary_killed_although_it_had_more_than_the_limit_proves_nothing(
    tree: Tree, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("vm", {**V2, **MEMINFO})
    monkeypatch.chdir(root)
    with guard(10 * MB, root, killed(2, touched=11 * MB)) as found:
        assert found.proof is not None
        assert not found.proof.enforced
        assert "only after it had more (11 MB) than the limit" in found.proof.reason


def test_without_swap_accounting_the_remedy_is_about_swap(
    tmp_path: Path, kernel: None, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    from tinytx.measure.limits.groups import Group

    monkeypatch.setattr(Group, "limits_swap", False)
    proof = prove(Place(1, tmp_path), 10 * MB, tree("vm", MEMINFO), (sys.executable, "-c", ""))
    assert "swapaccount=1" in proof.remedy


def test_no_canary_runs_where_its_survival_would_take_the_memory_of_others(
    tree: Tree, kernel: None
) -> None:
    root = tree("vm", {**V2, "proc/meminfo": "MemAvailable: 70000 kB\n"})
    with guard(10 * MB, root, ("/nothing/at/all",)) as found:
        assert found.proof is not None
        assert "needs 76 MB of free memory" in found.proof.reason
        assert found.proof.canary == "not run"


def test_where_no_group_can_be_made_the_proof_says_why_and_nothing_runs(tree: Tree) -> None:
    with guard(10 * MB, tree("vm"), ("/nothing/at/all",)) as found:
        assert found.proof is not None
        assert not found.proof.enforced
        assert found.proof.reason
        with found.group() as group:
            assert group is None


def test_without_a_peak_budget_there_are_groups_and_nothing_to_prove(
    tree: Tree, kernel: None
) -> None:
    with guard(None, tree("vm", V2), ("/nothing/at/all",)) as found:
        assert found.proof is None
        with found.group() as group:
            assert group is not None


def test_a_canary_that_hangs_is_ended(tree: Tree, kernel: None, tmp_path: Path) -> None:
    saved, canaries.CANARY_SECONDS = canaries.CANARY_SECONDS, 0.3
    try:
        proof = prove(Place(2, tmp_path), 10 * MB, tree("vm", MEMINFO), ("/bin/sleep", "60"))
    finally:
        canaries.CANARY_SECONDS = saved
    assert proof.reason == "the canary did not end within 0 s and was ended"


@pytest.mark.root
def test_a_real_limit_bites_near_its_figure(place: Place) -> None:
    limit = 64 * MB
    proof = prove(place, limit)
    assert proof.enforced, proof
    touched = int(proof.canary.split("touched ")[1].split(" ")[0]) * 1_000_000
    assert limit / 2 < touched < limit


@pytest.mark.root
def test_ctrl_c_while_the_canary_runs_leaves_no_group(place: Place) -> None:
    code = (
        "import sys; from pathlib import Path; from tinytx.measure.limits.groups import Place\n"
        "from tinytx.measure.limits.canary import prove\n"
        f"prove(Place({place.version}, Path({str(place.folder)!r})), {64 * MB},\n"
        "      command=(sys.executable, '-c', 'import time; time.sleep(60)'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    name = f"tinytx-{process.pid}-*"
    deadline = time.monotonic() + 20
    while not (made := [g for g in place.folder.glob(name) if (g / "cgroup.procs").read_text()]):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    threading.Timer(0.1, process.send_signal, [signal.SIGINT]).start()
    _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert made and not list(place.folder.glob(name))


@pytest.mark.root
def test_a_real_limit_above_keeps_the_canary_from_running(place: Place) -> None:
    if place.version == 2:
        pytest.skip("a group with a limit and processes has no children in version 2")
    with temporary_group(place, 100 * MB) as group:
        (inner := group.folder / "inner").mkdir()
        code = (
            "from tinytx.measure.limits.canary import guard\n"
            f"with guard({64 * MB}) as found: print(found.proof.reason)"
        )
        enter = ("/bin/sh", "-c", ENTER, str(inner / "cgroup.procs"), sys.executable, "-c", code)
        try:
            said = subprocess.run(enter, capture_output=True, text=True, timeout=60, check=True)
        finally:
            inner.rmdir()
    assert f"the limit of the group {group.folder} (102 MB) leaves" in said.stdout
