"""Everything on a device killed at random instants of deployments: fifteen of them; the script that
this uses does a hundred."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import random_kills
from tests.docker.devices import build
from tests.docker.kills import Lane, lane, pair

pytestmark = pytest.mark.docker
NUMBER, SEED = 15, 15


@pytest.fixture
def device(engine: object, readable_bundle: Path, tmp_path: Path) -> Iterator[Lane]:
    bundles = pair(readable_bundle, tmp_path / "pair")
    with lane(tmp_path / "workstation", build(tmp_path / "wheels"), bundles) as made:
        yield made


def test_whatever_instant_a_device_is_killed_at_it_serves_the_old_release_or_the_new_one(
    device: Lane, tmp_path: Path
) -> None:
    ended = random_kills.run(device, tmp_path, NUMBER, SEED)
    assert len(ended) == NUMBER
    assert [str(one) for one in ended if one.faults] == []
    assert sum(one.second for one in ended) >= NUMBER // 2
    assert {one.served for one in ended} <= {"old", "new"}
