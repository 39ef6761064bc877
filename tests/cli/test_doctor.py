"""``tinytx doctor`` from the outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytx.cli.main import run
from tinytx.measure import doctor
from tinytx.measure.doctor import Ability, Check, Diagnosis

ROOT = Path(__file__).parents[2]
ADVICE = Check(name="C++ compiler", ok=False, found="none [red]", remedy="install one")
GOOD = Check(name="numpy", ok=True, found="1.0")
BAD = Check(
    name="onnxruntime",
    ok=False,
    found="illegal instruction",
    remedy="take another",
    prevents=(Ability.RUN, Ability.MEASURE),
)
NO_TORCH = Check(name="torch", ok=False, found="not installed", prevents=(Ability.TRAIN,))


def pretend(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: Diagnosis(checks=[*checks], machine=None))


def test_advice_and_a_missing_torch_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, ADVICE, NO_TORCH)
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "can run, can be measured, cannot train, can export" in err
    assert "none [red]" in err
    assert "-> install one" in err


def test_a_machine_that_cannot_run_ends_with_one_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, BAD)
    assert run(["doctor", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "this machine cannot run or be measured" in err
    assert "-> take another" in err
    assert "numpy" not in err


def test_json_is_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, BAD)
    assert run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["can"] == {"run": False, "be measured": False, "train": True, "export": True}
    assert document["healthy"] is False
    assert document["checks"][1]["found"] == "illegal instruction"


def test_the_real_machine_is_told_with_its_processor(capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json", "--quiet"])
    document = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in document["checks"]]
    assert {"Python", "numpy", "onnxruntime", "sentencepiece", "disk", "processor"} <= set(names)
    assert document["machine"]["usable_cores"] >= 1
    assert all(check["ok"] for check in document["checks"] if check["name"] == "numpy")


DEADLY = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
BROKEN = "raise ImportError('libgfortran.so.5: cannot open shared object file')\n"
LIBRARIES = ["msgspec", "numpy", "onnxruntime", "sentencepiece", "psutil", "rich"]


def leave_out_torch(folder: Path) -> None:
    """Seconds of importing what these tests do not ask about."""
    for name in ("torch", "onnx"):
        (folder / f"{name}.py").write_text("__version__ = '1.0'\n")


def doctor_of(
    folder: Path, *arguments: str, group: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """The doctor as users start it, with what lies in ``folder`` first on the path."""
    command = [sys.executable, "-P", "-m", "tinytx.cli.main", "doctor", *arguments]
    if group is not None:
        enter = 'echo $$ > "$0" && exec "$@"'
        command = ["/bin/sh", "-c", enter, str(group / "cgroup.procs"), *command]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("planted", [DEADLY, BROKEN], ids=["kills its process", "is broken"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_does_not_load_is_one_line_among_all_the_others(
    tmp_path: Path, name: str, planted: str
) -> None:
    leave_out_torch(tmp_path)
    (tmp_path / f"{name}.py").write_text(planted)
    ended = doctor_of(tmp_path, "--json")
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    document = json.loads(ended.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert {"Python", *LIBRARIES, "disk", "memory", "processor", "memory limit"} <= set(checks)
    assert not checks[name]["ok"]
    word = "illegal instruction" if planted is DEADLY else "libgfortran.so.5"
    assert word in checks[name]["found"]
    assert word in ended.stderr
    assert all(checks[other]["ok"] for other in ("Python", "psutil") if other != name)
    assert document["machine"]["memory_total"] > 0


def test_with_every_library_broken_at_once_the_doctor_still_tells_of_the_machine(
    tmp_path: Path,
) -> None:
    leave_out_torch(tmp_path)
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(DEADLY)
    ended = doctor_of(tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count("illegal instruction") >= len(LIBRARIES)
    assert "cannot run, cannot be measured, cannot train, cannot export" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.root
def test_under_a_real_limit_of_a_group_above_the_doctor_does_not_say_that_it_can_train(
    tmp_path: Path,
) -> None:
    base = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0 or not (base / "tasks").exists():
        pytest.skip("needs root and control groups of version 1")
    leave_out_torch(tmp_path)
    outer = base / f"tinytx-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        (outer / "memory.limit_in_bytes").write_text(str(300 << 20))
        ended = doctor_of(tmp_path, "--json", group=inner)
    finally:
        inner.rmdir()
        outer.rmdir()
    document = json.loads(ended.stdout)
    assert document["machine"]["group_limit"] == 300 << 20
    assert document["can"]["run"]
    assert not document["can"]["train"]


def test_what_is_not_known_is_neither_good_nor_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, Check(name="speed", ok=None, found="not known: heat"))
    assert run(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["checks"][1]["ok"] is None
    assert "speed  unknown  not known: heat" in err
