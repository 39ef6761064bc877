"""Twenty devices with real stores in one rollout, one of them broken: the others end as told.

They are folders behind a fake ssh, each with the real device half and a watch of its own. It takes
a minute of two cores, so it runs with the tests that need an engine. Twenty containers are a module
run by hand: tests/docker/twenty.py.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.stores import made
from tests.remote.device import Devices
from tinytx.bundle import Bundle
from tinytx.cli.main import run

pytestmark = pytest.mark.docker


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    folder = tmp_path / "devices"
    folder.mkdir()
    fleet = Devices(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TINYTX_DEVICES", str(fleet.file))
    yield fleet
    fleet.close()


def test_nineteen_of_twenty_are_committed_and_a_second_call_touches_only_the_broken_one(
    devices: Devices, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = made(tmp_path / "bundle", "first")
    release = Bundle(bundle).id
    names = [f"d{n}" for n in range(20)]
    devices.add(*names, lines='group = "all"', policy="")
    (devices.folder / "proof-d7").write_text("FAIL: next token, p95: 900 ms are over 250 ms")
    words = ["deploy", "@all", str(bundle), "--json", "--quiet", "--parallel", "4"]
    assert run([*words, "--max-failures", "2"]) == 7
    told = {one["device"]: one for one in json.loads(capsys.readouterr().out)["devices"]}
    assert [name for name in names if told[name]["end"] != "committed"] == ["d7"]
    hosts = [call["host"] for call in devices.calls()]
    assert set(hosts[: hosts.count("d0")]) == {"d0"}  # the canary, to its end
    for name in names:
        current = devices.folder / "stores" / name / "current"
        assert current.is_symlink() == (name != "d7")
        assert name == "d7" or current.readlink().name == release

    (devices.folder / "proof-d7").unlink()
    before = len(devices.calls())
    assert run(words) == 0
    again = {one["device"]: one for one in json.loads(capsys.readouterr().out)["devices"]}
    assert [name for name in names if not again[name]["unchanged"]] == ["d7"]
    asked = [call["host"] for call in devices.calls()[before:]]
    assert all(asked.count(name) == 1 for name in names if name != "d7")
