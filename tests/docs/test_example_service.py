"""The examples of a service: the program asks a real server, systemd and compose take the files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.process import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ASK = EXAMPLES / "ask.py"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


def asked(file: Path, address: str, seconds: str = "60") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TINYTX_ADDRESS": address, "ASK_SECONDS": seconds}
    words = [sys.executable, "-S", str(ASK), str(file), "The river"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_the_program_adds_texts_of_the_service_to_its_file(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "texts.txt"
    with serving(tiny_bundle, "--slots", "2") as server:
        for _ in range(2):
            ended = asked(file, server.address)
            assert ended.returncode == 0, ended.stderr
    assert file.read_text("utf-8").count("The river") >= 2


def test_without_a_service_it_says_so_and_ends_with_1(tmp_path: Path) -> None:
    ended = asked(tmp_path / "texts.txt", "http://127.0.0.1:9", seconds="0")
    assert ended.returncode == 1
    assert "http://127.0.0.1:9 gives no text" in ended.stderr
    assert "Traceback" not in ended.stderr


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units_and_calls_them_hardened(tmp_path: Path) -> None:
    for path in (*(ROOT / "deploy/units").iterdir(), *EXAMPLES.glob("ask.[st]*")):
        text = path.read_text("utf-8").replace("/opt/tinytx/bin/tinytx", "/bin/true")
        (tmp_path / path.name).write_text(text)
    units = [str(tmp_path / name) for name in ("ask.service", "ask.timer")]
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in ended.stderr.splitlines() if "ask." in line]
    assert (ended.returncode, ours) == (0, []), ended.stderr
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", units[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-300:]


def test_compose_takes_the_third_container_beside_the_devices_own() -> None:
    files = ["-f", "deploy/compose.yaml", "-f", "docs/examples/ask.compose.yaml"]
    words = ["docker", "compose", *files, "config", "--format", "json"]
    if shutil.which("docker") is None:
        pytest.skip("no docker client here")
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if "is not a docker command" in ended.stderr:
        pytest.skip("this docker client has no compose")
    assert ended.returncode == 0, ended.stderr
    services = json.loads(ended.stdout)["services"]
    assert set(services) == {"serve", "watch", "ask"}
    assert services["ask"]["environment"] == {"TINYTX_ADDRESS": "http://serve:8765"}
    assert services["ask"]["user"] == services["serve"]["user"]
