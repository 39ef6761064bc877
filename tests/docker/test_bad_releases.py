"""Releases that should not stay: each returns by itself to the old one, and `status` says why."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.devices import STORE, Fleet, docker
from tests.docker.kills import ALLOWED, HERE, SHORTER, SITE, Lane, install, pair
from tests.remote.bundles import with_file
from tests.serve.releases import wrong
from tinytx.bundle import Bundle

pytestmark = pytest.mark.docker
DEADLINE = 60.0
DIED = "the service ended while it served this release"
GONE = "unhealthy 3 times in a row: health: no answer"
"""What the watch says, where the service takes longer to start again than it takes to see that."""
LIMIT = "350m"
"""Of memory for everything on the device; there is no swap."""


@pytest.fixture(scope="module")
def lane(
    engine: object, readable_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lane]:
    """A device on which the first of two releases is served."""
    folder = tmp_path_factory.mktemp("bad")
    with Fleet(folder / "workstation") as fleet:
        limits = ("--memory", LIMIT, "--memory-swap", LIMIT)
        made = Lane(fleet, fleet.start("pi", *limits), pair(readable_bundle, folder / "pair"))
        made.prepare()
        yield made


def refused(lane: Lane, bundle: Path, *options: str) -> tuple[int, str]:
    """Deploy, and see the old release served; the exit code, and why as the device keeps it."""
    old = lane.settled()["current"]
    done = lane.fleet.tinytx("deploy", "pi", str(bundle), "--json", "--quiet", *options)
    assert done.returncode != 0, done.stdout
    found = lane.settled()
    assert (found["current"], found["committed"], found["whole"]) == (old, old, True)
    release = Bundle(bundle).id
    line = next(one for one in lane.device.status()["releases"] if one["id"] == release)
    assert (line["state"], line["phase"]) == ("rolled-back", "done")
    return done.returncode, line["why"]


def switched(lane: Lane, bundle: Path) -> tuple[str, float]:
    """The same for one that is found out after the switch: why, and seconds from the switch to the
    way back."""
    code, why = refused(lane, bundle, *ALLOWED)
    assert code == 10
    lines = [one for one in lane.device.journal() if one["release"] == Bundle(bundle).id]
    times = {(one["state"], one["phase"]): one["uptime"] for one in lines}
    return why, times["rolled-back", "done"] - times["switched", "begin"]


@pytest.fixture
def real_proof(lane: Lane) -> Iterator[None]:
    """With all the time that it has for users."""
    short = lane.device.shell(f"cat {SITE}/tinytx/release/prove.py")
    turn = " ".join(f"-e 's/= {new}/= {old}/'" for old, new in SHORTER.items())
    lane.device.shell(f"sed -i {turn} {SITE}/tinytx/release/prove.py", user="root")
    assert lane.device.shell(f"cat {SITE}/tinytx/release/prove.py") != short
    yield
    lane.device.policy(watch_seconds=1, deadline_seconds=DEADLINE)
    install(lane.device)


@pytest.mark.usefixtures("real_proof")
def test_golden_tokens_that_differ_are_found_before_the_switch(lane: Lane, tmp_path: Path) -> None:
    bundle = tmp_path / wrong(lane.bundles[0], tmp_path)
    code, why = refused(lane, bundle)
    assert code == 9
    assert "golden" in why


@pytest.mark.usefixtures("real_proof")
@pytest.mark.parametrize(
    ("budget", "words", "codes"),
    [
        ('[budget.next_token_p95]\nat_most = 0.001\nunit = "ms"', "next token", {7, 8}),
        ('[budget.peak_memory]\nat_most = 20\nunit = "MB"', "peak memory", {7}),
    ],
    ids=["too slow", "too large in memory"],
)
def test_what_exceeds_a_budget_of_the_device_is_not_switched_to(
    lane: Lane, budget: str, words: str, codes: set[int], tmp_path: Path
) -> None:
    """On a machine that is busy a time is INVALID, which is no leave to switch either."""
    lane.device.shell(f"cat > {STORE}/few.toml <<'END'\nschema = 1\n{budget}\nEND\n")
    lane.device.policy(budgets=f"{STORE}/few.toml", deadline_seconds=DEADLINE)
    bundle = with_file(lane.bundles[0], tmp_path / "bundle", "appendix.bin", words.encode())
    code, why = refused(lane, bundle)
    assert code in codes
    assert words in why


@pytest.fixture(scope="module")
def misbehaving(lane: Lane) -> None:
    """From here on releases do what their appendix says."""
    place = f"{lane.device.container}:/var/tmp/misbehaving.py"
    docker("cp", str(HERE / "misbehaving.py"), place)
    script = f"cat /var/tmp/misbehaving.py >>{SITE}/tinytx/serve/model.py"
    lane.device.shell(script, user="root")
    lane.device.policy(watch_seconds=15, deadline_seconds=DEADLINE)
    lane.device.kill_processes("tinytx.*serve")
    lane.settled()


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dies", f"{DIED}|{GONE}"),
        ("memory", f"{DIED}|{GONE}"),
        ("later", r"unhealthy 3 times in a row: health: loading \(503\)"),
    ],
    ids=["dies under its first request", "exceeds its memory limit", "unhealthy after 10 s"],
)
def test_what_misbehaves_after_the_switch_is_taken_back_within_the_deadline(
    lane: Lane, kind: str, words: str, tmp_path: Path
) -> None:
    bundle = with_file(lane.bundles[0], tmp_path / "bundle", "appendix.bin", kind.encode())
    why, seconds = switched(lane, bundle)
    assert re.search(words, why), why
    assert seconds < DEADLINE
    if kind == "memory":
        script = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events"
        counted = lane.device.shell(f"{script} 2>/dev/null", check=False)
        assert int(re.findall(r"oom_kill (\d+)", counted)[-1]) > 0, counted
