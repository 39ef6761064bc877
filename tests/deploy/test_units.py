"""The units of deploy/: what systemd says of them without running them, and what they promise."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tinytx.cli.main import cli

UNITS = Path(__file__).parents[2] / "deploy" / "units"
SERVICES = ["tinytx-serve.service", "tinytx-watch.service", "tinytx-pull.service"]
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


def unit(name: str) -> dict[str, list[str]]:
    """The settings of all sections by key, each as often as it is given."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (UNITS / name).read_text("utf-8"), re.M):
        found.setdefault(key, []).append(value)
    return found


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_calls_the_service_hardened(name: str) -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level.*: ([\d.]+) ", said.stdout)
    assert found, said.stderr
    assert float(found.group(1)) <= 3.0


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        text = path.read_text("utf-8").replace("/opt/tinytx/bin/tinytx", "/bin/true")
        (tmp_path / path.name).write_text(text)
    words = ["systemd-analyze", "verify", "--man=no"]
    ended = subprocess.run(
        [*words, *(str(path) for path in sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in ended.stderr.splitlines() if "tinytx" in line]
    assert (ended.returncode, ours) == (0, []), ended.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_static_user_the_store_and_no_telemetry(name: str) -> None:
    found = unit(name)
    assert found["User"] == found["Group"] == ["tinytx"]
    assert found["ReadWritePaths"] == ["/var/lib/tinytx"]
    assert "ORT_DISABLE_TELEMETRY=1" in found["Environment"]
    assert "TINYTX_STORE=/var/lib/tinytx" in found["Environment"]
    assert found["MemorySwapMax"] == ["0"]
    assert "DynamicUser" not in found


def test_the_service_is_held_to_the_budget_of_peak_memory() -> None:
    from tinytx.measure.policy.budgets import load_budgets

    (peak,) = (each.limit.base for each in load_budgets() if each.name == "peak_memory")
    assert unit("tinytx-serve.service")["MemoryMax"] == [f"{peak:.0f}"]
    assert unit("tinytx-pull.service")["MemoryMax"] == [f"{peak:.0f}"]


def test_a_crash_loop_locks_nothing_out() -> None:
    for name in ("tinytx-serve.service", "tinytx-serve.socket", "tinytx-watch.service"):
        assert unit(name)["StartLimitIntervalSec"] == ["0"]
    assert unit("tinytx-serve.socket")["TriggerLimitIntervalSec"] == ["0"]
    assert unit("tinytx-serve.service")["Restart"] == ["on-failure"]


def test_the_socket_is_one_and_of_this_machine_alone() -> None:
    """The service takes exactly one descriptor (tinytx/serve/systemd.py)."""
    assert unit("tinytx-serve.socket")["ListenStream"] == ["127.0.0.1:8765"]
    assert unit("tinytx-serve.service")["Requires"] == ["tinytx-serve.socket"]


def test_the_service_has_time_for_its_answers() -> None:
    from tinytx.serve.releases import Settings

    assert int(unit("tinytx-serve.service")["TimeoutStopSec"][0]) > Settings().drain_seconds


def test_the_pull_is_spread_and_not_by_the_calendar() -> None:
    found = unit("tinytx-pull.timer")
    assert "RandomizedDelaySec" in found and "OnCalendar" not in found


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_starts_a_command_that_there_is(name: str) -> None:
    (line,) = unit(name)["ExecStart"]
    words = line.removeprefix("/opt/tinytx/bin/tinytx ").split()
    context = cli.make_context("tinytx", ["--version"], resilient_parsing=True)
    found = cli.get_command(context, words[0])
    assert found is not None
    if words[0] == "release":
        assert found.get_command(context, words[1]) is not None  # type: ignore[attr-defined]
    flags = [word for word in words if word.startswith("--")]
    known = [name for each in found.params for name in each.opts]
    assert [flag for flag in flags if flag not in known] == []


def test_every_file_is_one_that_systemd_can_read() -> None:
    for path in UNITS.iterdir():
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
        parser.read_string(path.read_text("utf-8"))
        assert "Unit" in parser


def test_a_watch_that_the_service_starts_can_ask_it() -> None:
    """After a loss of power ``release recover`` in the service's own unit may start the watch; one
    that could not reach the service took a good release back."""
    found = unit("tinytx-serve.service")
    assert "AF_INET" in found["RestrictAddressFamilies"][0].split()
    assert "PrivateNetwork" not in found
    assert found["IPAddressAllow"] == ["localhost"]
    assert unit("tinytx-watch.service")["Before"] == ["tinytx-serve.service"]
