"""`tinytx bench --container` with a real engine: limits, verdicts, a death, an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tinytx.cli.main import run as command

pytestmark = pytest.mark.docker
MB = 1_000_000


def budgets(folder: Path, megabytes: int) -> str:
    path = folder / f"{megabytes}.toml"
    path.write_text(
        f'schema = 1\n[budget.peak_memory]\nat_most = {megabytes}\nunit = "MB"\n'
        '[budget.model_size]\nunder = 10\nunit = "MB"\n'
    )
    return str(path)


def containers(engine: Any, process: int) -> list[str]:
    """The commands of the containers that a bench has now."""
    found = engine.containers.list(all=True, sparse=True)  # nothing more is asked: they may go
    prefix = f"/tinytx-bench-{process}-"
    return [one.attrs["Command"] for one in found if one.attrs["Names"][0].startswith(prefix)]


def left(engine: Any) -> list[str]:
    return containers(engine, os.getpid())


def test_a_device_class_is_measured_and_judged_outside(
    engine: Any, readable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    arguments = ["bench", str(readable_bundle), "--container", "--device", "pi-zero-2w", "--json"]
    limits = ["--budgets", budgets(tmp_path, 400), "--time-limit", "1", "--report", str(path)]
    assert command([*arguments, *limits]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document == json.loads(path.read_text())
    assert document["limit"]["enforced"]
    assert document["container"]["image_id"] == engine.images.get("tinytx:runtime").id
    assert document["container"]["limits"]["memory"] == 400 * MB // 4096 * 4096 + 4096
    assert document["machine"]["before"]["usable_cores"] == document["container"]["limits"]["cores"]
    assert {row["name"]: row["verdict"] for row in document["budgets"]} == {
        "peak_memory": "PASS", "model_size": "PASS",
    }  # fmt: skip
    assert "killed by the kernel" in err
    assert left(engine) == []


def test_a_bench_that_cannot_live_in_its_limit_proves_nothing(
    engine: Any, readable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--budgets", budgets(tmp_path, 20), "--time-limit", "1"]
    assert command(["bench", str(readable_bundle), "--container", *limits]) == 8
    assert "killed" in capsys.readouterr().err
    assert left(engine) == []


def test_the_sentence_from_inside_comes_out(
    engine: Any, readable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--budgets", budgets(tmp_path, 400), "--precision", "int8"]
    assert command(["bench", str(readable_bundle), "--container", *limits]) != 0
    assert "int8" in capsys.readouterr().err


def test_ctrl_c_removes_the_container(engine: Any, readable_bundle: Path) -> None:
    words = [sys.executable, "-m", "tinytx.cli.main", "bench", str(readable_bundle), "--container"]
    bench = subprocess.Popen(words, stderr=subprocess.PIPE)

    try:
        end = time.monotonic() + 300
        while bench.poll() is None and time.monotonic() < end:
            if any("bench" in words for words in containers(engine, bench.pid)):
                break  # it is the bench that runs, no longer the canary
            time.sleep(0.1)
        bench.send_signal(signal.SIGINT)
        _, said = bench.communicate(timeout=300)
    finally:
        bench.kill()
    assert bench.returncode == 130, said
    assert containers(engine, bench.pid) == []
