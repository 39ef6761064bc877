"""Requests that never stop, while releases come and go by real deployments."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.devices import Fleet
from tests.docker.kills import Lane, pair

pytestmark = pytest.mark.docker
SWITCHES, ROLLBACKS = 10, 2


@pytest.fixture(scope="module")
def lane(
    engine: object, readable_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lane]:
    folder = tmp_path_factory.mktemp("load")
    with Fleet(folder / "workstation") as fleet:
        made = Lane(fleet, fleet.start("pi"), pair(readable_bundle, folder / "pair"))
        made.prepare()
        yield made


def test_ten_switches_and_two_ways_back_fail_no_request_and_mix_no_text(lane: Lane) -> None:
    lane.ask(pause=0.0)  # beside the one that asks more rarely
    asked = lane.asked()
    for number in range(1, SWITCHES + 1):
        lane.deployed(lane.other(lane.settled()["current"]))
        if number % (SWITCHES // ROLLBACKS) == 0:
            done = lane.fleet.tinytx("rollback", "pi", "--quiet")
            assert done.returncode == 0, done.stderr
    lane.settled()
    heard = lane.answers(asked)
    assert (heard.failed, heard.wrong) == ([], [])
    assert heard.right > 100
    states = [line["state"] for line in lane.device.journal() if line["phase"] == "done"]
    assert states.count("switched") == SWITCHES + len(lane.bundles)
    assert states.count("rolled-back") == ROLLBACKS
