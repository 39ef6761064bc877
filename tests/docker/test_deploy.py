"""Deployment to real devices: containers with an OpenSSH server, the real client, the real service.

The proof's verdict depends on what else runs on this machine, so INVALID is let pass here.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.devices import STORE, Device, Fleet
from tests.remote.bundles import with_fewer_prompts, with_file
from tinytx.bundle import Bundle

pytestmark = pytest.mark.docker
ALLOWED = ("--allow-invalid", "other tests run on this machine")


@pytest.fixture(scope="module")
def fleet(engine: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet") / "workstation") as made:
        yield made


@pytest.fixture(scope="module")
def pi(fleet: Fleet) -> Device:
    device = fleet.start("pi")
    device.policy(watch_seconds=3, deadline_seconds=90)
    return device


@pytest.fixture(scope="module")
def releases(readable_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles with one model; their golden prompts differ."""
    folder = tmp_path_factory.mktemp("second") / "bundle"
    return [readable_bundle, with_fewer_prompts(readable_bundle, folder)]


def deploy(fleet: Fleet, bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is told of the one device."""
    done = fleet.tinytx("deploy", "pi", str(bundle), "--json", "--quiet", *ALLOWED, *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["devices"][0]


def test_a_release_is_proved_there_committed_sent_once_and_taken_back(
    fleet: Fleet, pi: Device, releases: list[Path]
) -> None:
    first, second = (Bundle(folder) for folder in releases)
    code, told = deploy(fleet, releases[0])
    assert (code, told["end"], told["why"]) == (0, "committed", "")
    assert told["files_sent"] == len(first.manifest.files)
    assert told["bytes_sent"] == sum(facts.size for facts in first.manifest.files.values())
    states = [line["state"] for line in pi.journal() if line["phase"] == "done"]
    assert states == ["received", "verified", "proved", "switched", "watched", "committed"]

    code, told = deploy(fleet, releases[0])
    assert (code, told["unchanged"], told["files_sent"], told["bytes_sent"]) == (0, True, 0, 0)

    code, told = deploy(fleet, releases[1])
    assert (code, told["end"]) == (0, "committed")
    assert told["files_sent"] == 1  # golden.json: the rest is there by its hash
    assert pi.current() == second.id

    done = fleet.tinytx("rollback", "pi", "--reason", "it talks nonsense", "--json", "--quiet")
    assert json.loads(done.stdout) == {
        "schema": 1, "device": "pi", "from": second.id, "to": first.id,
    }  # fmt: skip
    assert done.returncode == 0
    assert pi.current() == first.id
    line = next(line for line in pi.status()["releases"] if line["id"] == second.id)
    assert (line["state"], line["why"]) == ("rolled-back", "it talks nonsense")

    table = fleet.tinytx("devices", "--json")
    status = json.loads(table.stdout)["devices"][0]["status"]
    assert (status["current"], status["committed"]["release"]) == (first.id, first.id)


def test_a_workstation_that_is_killed_in_mid_transfer_leaves_what_came_and_the_rest_is_sent(
    fleet: Fleet, pi: Device, releases: list[Path], tmp_path: Path
) -> None:
    served, size = pi.current(), 4_000_000
    large = with_file(releases[0], tmp_path / "large", "appendix.bin", os.urandom(size))
    with fleet.running("deploy", "pi", str(large), rate=1_500_000) as workstation:
        held, end = 0, time.monotonic() + 60
        while held < size // 2:
            assert workstation.poll() is None
            assert time.monotonic() < end
            held = int(pi.shell(f"cat {STORE}/incoming/*.part | wc -c"))
    assert pi.current() == served
    code, told = deploy(fleet, large)
    assert (code, told["end"], told["why"]) == (0, "committed", "")
    assert told["bytes_sent"] <= 0.55 * size
    assert pi.run("sha256sum", f"{STORE}/current/appendix.bin").split()[0] == (
        Bundle(large).manifest.files["appendix.bin"].sha256
    )


def test_a_network_that_is_cut_in_mid_transfer_comes_back_and_the_deployment_goes_on(
    fleet: Fleet, pi: Device, releases: list[Path], tmp_path: Path
) -> None:
    size = 3_000_000
    large = with_file(releases[0], tmp_path / "large", "appendix.bin", os.urandom(size))
    words = ("deploy", "pi", str(large), "--json", *ALLOWED)
    with fleet.running(*words, rate=1_000_000) as workstation:
        held, end = 0, time.monotonic() + 60
        while held < size // 3:
            assert time.monotonic() < end
            held = int(pi.shell(f"cat {STORE}/incoming/*.part | wc -c"))
        pi.cut()
        time.sleep(25)  # longer than ssh waits for a sign of life
        pi.mend()
        said, errors = workstation.communicate(timeout=300)
    assert workstation.returncode == 0, errors
    assert json.loads(said)["devices"][0]["end"] == "committed"
    assert pi.current() == Bundle(large).id


def test_a_device_with_another_host_key_is_sent_nothing(
    fleet: Fleet, pi: Device, releases: list[Path]
) -> None:
    before = len(pi.journal())
    pi.new_host_keys()
    done = fleet.tinytx("deploy", "pi", str(releases[1]))
    assert done.returncode == 10
    assert "the host key of pi is not the one that is known here" in done.stderr
    assert "ssh-keygen -R pi" in done.stderr
    assert len(pi.journal()) == before
    pi.kill()
    assert fleet.tinytx("devices").returncode == 10
    pi.start()  # the new key is known from here on
    assert fleet.tinytx("devices").returncode == 0
