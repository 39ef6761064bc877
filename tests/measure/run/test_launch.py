"""Workers that answer, crash, hang, babble or are killed: each ends as a result that says so."""

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from tinytx.errors import BundleError, LibraryError
from tinytx.measure.limits.groups import GroupUse, Place, temporary_group, up_to_a_page
from tinytx.measure.policy.scenarios import SamplingPolicy, WarmUp
from tinytx.measure.record.protocol import Task
from tinytx.measure.run.launch import run_worker

TASK = Task(
    bundle="x",
    kind="memory",
    length=1,
    threads=1,
    samples=1,
    block=1,
    seconds=1.0,
    sampling=SamplingPolicy(),
    warm_up=WarmUp(),
)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_an_answer_is_taken_and_the_task_arrives() -> None:
    code = "import json, sys; t = json.load(sys.stdin); print(json.dumps({'load_ns': t['length']}))"
    run = run_worker(TASK, 20, python(code))
    assert run.trouble == ""
    assert run.answer is not None
    assert run.answer.load_ns == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "signal 9, as the kernel sends when memory"),
        ("import os; os.kill(os.getpid(), 4)", "illegal instruction"),
        ("import os; os.kill(os.getpid(), 11)", "signal 11"),
        ("raise ValueError('the reason')", "ended with code 1: ValueError: the reason"),
        ("raise SystemExit(3)", "ended with code 3"),
        ("print('hello')", "no proper answer"),
        ("pass", "no proper answer"),
        ('print(\'{"error": "out of memory", "error_kind": "MemoryError"}\')', "out of memory"),
    ],
)
def test_a_worker_that_fails_says_how(code: str, words: str) -> None:
    run = run_worker(TASK, 20, python(code))
    assert run.answer is None
    assert words in run.trouble


def test_a_bundle_error_of_the_worker_is_one_of_the_bench() -> None:
    answer = json.dumps({"error": "damaged", "error_kind": "BundleError"})
    with pytest.raises(BundleError, match="damaged"):
        run_worker(TASK, 20, python(f"print({answer!r})"))


def test_a_library_that_is_too_old_for_the_worker_is_an_error_of_the_bench() -> None:
    answer = {"error": "old", "error_kind": "LibraryError", "error_remedy": "install a newer one"}
    with pytest.raises(LibraryError, match="old") as info:
        run_worker(TASK, 20, python(f"print({json.dumps(answer)!r})"))
    assert info.value.remedy == "install a newer one"


DIES = """
import glob, os
group = glob.glob(FOLDER + "/tinytx-*")[0]
open(group + "/memory.events", "w").write("max 3\\noom_kill 1\\n")
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (64_000_000, "was killed by the kernel at the memory limit of 64 MB"),
        (None, "was killed by the kernel for want of memory"),
    ],
)
def test_a_worker_that_its_group_s_limit_kills_says_so(
    tmp_path: Path, kernel: None, limit: int | None, words: str
) -> None:
    size = None if limit is None else up_to_a_page(limit)
    with temporary_group(Place(2, tmp_path), size) as group:
        run = run_worker(TASK, 20, python(DIES.replace("FOLDER", repr(str(tmp_path)))), group)
        (group.folder / "cgroup.procs").write_text("")
    assert run.trouble.endswith(words)
    assert run.group == GroupUse(0, size, 3, 1)


def test_a_worker_that_another_limit_killed_is_not_charged_to_its_own(
    tmp_path: Path, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_group(Place(2, tmp_path), up_to_a_page(64_000_000)) as group:
        monkeypatch.setattr(group, "use", lambda: GroupUse(4_096, 64_000_000, 0, 1))
        run = run_worker(TASK, 20, python("import os; os.kill(os.getpid(), 9)"), group)
        (group.folder / "cgroup.procs").write_text("")
    assert "by the kernel before it came to its limit of 64 MB: a group above" in run.trouble


def test_a_worker_in_a_group_answers_as_ever_and_the_group_s_view_comes_with_it(
    tmp_path: Path, kernel: None
) -> None:
    with temporary_group(Place(2, tmp_path)) as group:
        (group.folder / "memory.peak").write_text("5000\n")
        run = run_worker(TASK, 20, python("print('{}')"), group)
        (group.folder / "cgroup.procs").write_text("")
    assert run.answer is not None
    assert run.group == GroupUse(5_000, None, 0, 0)


def gone(pid: int) -> bool:
    """Whether a process has ended, within a few seconds (a zombie has)."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_hung_worker_and_its_children_are_gone_afterwards(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "import os, subprocess, time; c = subprocess.Popen(['sleep', '60']); "
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{c.pid}}'); time.sleep(60)"
    )
    run = run_worker(TASK, 2.4, python(code))
    assert "hung: no answer after 2 s" in run.trouble
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_a_worker_dies_with_a_bench_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from tinytx.measure.run.launch import WORKER\n"
        "c = subprocess.Popen(WORKER, stdin=subprocess.PIPE, start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(c.pid))\n"
        "time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[3])
    bench = psutil.Popen(python(code), env={**os.environ, "PYTHONPATH": root})
    for _ in range(200):  # until the worker has asked to die with its parent and reads its task
        pid = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
        if pid and "tinytx.measure.run.worker" in " ".join(psutil.Process(int(pid)).cmdline()):
            time.sleep(1.0)
            break
        time.sleep(0.05)
    bench.kill()
    bench.wait()
    assert gone(int(pid))
