"""docs/deploy.md, typed as it stands, to containers with a real OpenSSH server and a real service.

Only two things differ from a reader's own device: no systemd runs in a container, so it was set up
by its image instead of by ``--prepare`` (tests/vm does that), and the budgets there are those of
memory and size, since what else runs on this machine decides about time.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.devices import STORE, Fleet, docker
from tests.docs.deploying import PAGE, SERVER, SUDO, workplace
from tests.docs.running import execute, programs
from tests.release.site import serving

pytestmark = pytest.mark.docker
BUDGETS = """schema = 1
[budget.peak_memory]
at_most = 512
unit = "MB"
[budget.model_size]
at_most = 10
unit = "MB"
"""


@pytest.fixture
def fleet(engine: object, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "workstation") as made:
        yield made


def test_the_page_is_typed_to_real_devices_and_prints_what_it_says(
    fleet: Fleet, readable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYTX_DEVICES", raising=False)
    for name in ("pi", "spare"):
        device = fleet.start(name)
        device.policy(watch_seconds=3, deadline_seconds=90, budgets=f"{STORE}/budgets.toml")
        device.shell(f"cat > {STORE}/budgets.toml <<'END'\n{BUDGETS}END\n")
        sudo = SUDO.format(command='exec "$@"')
        place = "/usr/local/bin/sudo"
        device.shell(f"cat > {place} <<'END'\n{sudo}END\nchmod 755 {place}", user="root")
    commands = programs(tmp_path / "programs")
    (commands / "ssh").symlink_to(fleet.folder / "bin/ssh")
    folder = workplace(tmp_path / "work", readable_bundle)
    facts = json.loads(docker("inspect", fleet.devices["spare"].container))[0]
    gateway = facts["NetworkSettings"]["Networks"][fleet.network]["Gateway"]
    with serving(folder / "site", host=gateway) as site:
        assert execute(PAGE, folder, commands, {SERVER: site.address}) >= 8
