"""Whoever is killed at whatever step of whatever it does leaves the old release or the new one."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.release.killing import From, killed
from tests.release.stores import Bytes, Device, clone
from tinytx.release import intake, prune, states, switch, work
from tinytx.release.journal import read
from tinytx.release.store import Store

Do = Callable[[Device], object]
ALL = os.environ.get("TINYTX_LONG_TESTS") == "all"


def receive(device: Device) -> None:
    """The files of B that are missing."""
    for one in device.offer("B").missing:
        data = (device.bundle("B") / one.name).read_bytes()[one.held :]
        intake.receive(Store(device.root), one.sha256, one.size, one.held, Bytes(data))


def roll_back(device: Device) -> None:
    with work.begun(device.root, "test") as here:
        switch.roll_back(here, "by hand")


def force(device: Device) -> None:
    with work.begun(device.root, "test") as here:
        switch.commit(here, device.id("B"), "by hand")


def remove_old(device: Device) -> None:
    with work.begun(device.root, "test") as here:
        prune.prune(here.store, here.journal, 2)


def damage_journal(device: Device) -> None:
    raw = bytearray((device.root / "journal").read_bytes())
    raw[len(raw) // 2] ^= 1
    (device.root / "journal").write_bytes(bytes(raw))


def damage_current(device: Device) -> None:
    """A flipped bit in A, and everything of A sent again."""
    damaged = device.store.release(device.id("A")) / "model.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    device.send("A")


def on_trial(*names: str) -> Do:
    """All but the last are committed, the last is on trial."""

    def make(device: Device) -> None:
        device.deploy(*names[:-1])
        device.prepare(names[-1])
        device.switch(names[-1])

    return make


def prepared(*names: str) -> Do:
    def make(device: Device) -> None:
        device.deploy(*names[:-1])
        device.prepare(names[-1])

    return make


def sent(*names: str) -> Do:
    def make(device: Device) -> None:
        device.deploy(*names[:-1])
        device.send(names[-1])

    return make


def both(*steps: Do) -> Do:
    def make(device: Device) -> None:
        for step in steps:
            step(device)

    return make


ALWAYS = ("switch",)
"""Operations of the default suite; the others are long, and .ci/run has them."""
OPERATIONS: dict[str, tuple[Do, Do, set[str]]] = {
    # what is done: (how the store came to be, the operation, what may be served after it)
    "begin": (prepared("A", "B"), lambda d: d.recover(), {"A"}),
    "receive": (lambda d: d.deploy("A"), receive, {"A"}),
    "install the first": (sent("B"), lambda d: d.install("B"), {""}),
    "install": (sent("A", "B"), lambda d: d.install("B"), {"A"}),
    "prove": (
        both(sent("A", "B"), lambda d: d.install("B")), lambda d: d.prove("B"), {"A"},
    ),
    "switch to the first": (prepared("B"), lambda d: d.switch("B"), {"", "B"}),
    "switch": (prepared("A", "B"), lambda d: d.switch("B"), {"A", "B"}),
    "switch to the third": (prepared("C", "A", "B"), lambda d: d.switch("B"), {"A", "B"}),
    "commit": (on_trial("A", "B"), lambda d: d.decide(), {"B"}),
    "commit by hand": (on_trial("A", "B"), force, {"B"}),
    "take back the first": (on_trial("B"), lambda d: d.decide("it is bad"), {"", "B"}),
    "take back": (on_trial("C", "A", "B"), lambda d: d.decide("it is bad"), {"A", "B"}),
    "roll back by hand": (lambda d: d.deploy("C", "A", "B"), roll_back, {"A", "B"}),
    "prune": (lambda d: d.deploy("C", "A", "B"), remove_old, {"B"}),
    "recover a damaged journal": (
        both(on_trial("A", "B"), damage_journal), lambda d: d.recover(), {"B"},
    ),
}  # fmt: skip

SINCE: dict[str, From] = {
    "begin": "at once",
    "commit": "at once",
    "take back the first": "at once",
    "take back": "at once",
    "recover a damaged journal": "recovery",
}
"""From where on steps count: the watch opens no store; else after what every command begins with.
"""


def assert_serves(device: Device, allowed: set[str]) -> None:
    """What holds at every instant, before anybody has recovered anything."""
    store = Store(device.root)
    assert device.current in allowed
    current = store.target(store.current)
    assert os.path.lexists(store.current) == bool(current)
    assert not current or store.is_whole(current)


def assert_sound(device: Device, allowed: set[str]) -> None:
    """What holds after a recovery, whatever was killed before."""
    assert_serves(device, allowed)
    store, reading = Store(device.root), read(device.root / "journal")
    current = store.target(store.current)
    assert not reading.damage
    trial, committed = states.on_trial(reading.entries), states.committed(reading.entries)
    for release, line in states.newest(reading.entries).items():
        assert line.phase == "done" or (trial == line and line.state == "watched"), line
        if line.phase == "done" and line.state not in ("received", "rolled-back"):
            assert store.is_whole(release) or line.state == "committed"
    if trial is not None:
        assert trial.release == current
    elif current:
        assert committed is not None
        assert committed.release == current
    hidden = [p for p in device.root.rglob(".*") if p.name.endswith((".new", ".old"))]
    assert hidden == []
    assert not [p for p in store.releases.iterdir() if p.name.startswith(".")]


def assert_goes_on(device: Device) -> None:
    """A following deploy succeeds."""
    if states.on_trial(device.store.journal("test").entries()) is not None:
        device.decide("for the next one")
    device.deploy("Z")
    assert device.current == "Z"
    assert_sound(device, {"Z"})


@pytest.fixture
def made(device: Device) -> Callable[[Do], Callable[[], Device]]:
    """Makes a store once, and then as many copies of it as are asked for, one at a time."""

    def make(begin: Do) -> Callable[[], Device]:
        for name in "ABCZ":
            device.bundle(name)
        begin(device)
        used = device.root.with_name("used")

        def fresh() -> Device:
            if used.exists():
                for path, _, _ in os.walk(used):
                    Path(path).chmod(0o755)
                shutil.rmtree(used)
            clone(device.root, used)
            return Device(used, device.folder)

        return fresh

    return make


# To install the first differs from the next in nothing but its time: the long test has it.
@pytest.mark.parametrize(
    "name",
    [
        name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long)
        for name in OPERATIONS
        if name != "install the first"
    ],
)
def test_killed_at_every_step_and_again_while_it_recovers(
    made: Callable[[Do], Callable[[], Device]], name: str
) -> None:
    begin, operation, allowed = OPERATIONS[name]
    since = SINCE.get(name, "after recovery")
    fresh = made(begin)
    step, again, kills_in_recovery = 1, 1, 0
    while True:
        device = fresh()
        if not killed(partial(operation, device), step, since):
            break
        assert_serves(device, allowed)
        if killed(device.recover, again, "recovery"):
            assert_serves(device, allowed)
            kills_in_recovery += 1
            again += 1
        else:
            again = 1
        device.recover()
        assert_sound(device, allowed)
        if step % 7 == 0:
            assert_goes_on(device)
        step += 1
    assert_sound(device, allowed)
    assert step > 5
    assert kills_in_recovery > step / 2


@pytest.mark.long
def test_killed_at_every_step_while_damaged_files_are_replaced(
    made: Callable[[Do], Callable[[], Device]],
) -> None:
    fresh = made(both(lambda d: d.deploy("C", "A"), damage_current))
    step = 1
    while killed(partial(Device.install, device := fresh(), "A"), step):
        device.recover()
        assert device.current == "A"  # damaged as before, or mended: its name is never missing
        device.send("A")
        device.install("A")
        assert_sound(device, {"A"})
        step += 1
    assert_sound(device, {"A"})
    assert step > 10


@pytest.mark.long
@pytest.mark.skipif(not ALL, reason="ten minutes: set TINYTX_LONG_TESTS=all")
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_step_and_at_every_step_of_each_recovery(
    made: Callable[[Do], Callable[[], Device]], name: str
) -> None:
    begin, operation, allowed = OPERATIONS[name]
    since = SINCE.get(name, "after recovery")
    fresh = made(begin)
    step = again = 1
    while killed(partial(operation, device := fresh()), step, since):
        assert_serves(device, allowed)
        more = killed(device.recover, again, "recovery")
        assert_serves(device, allowed)
        device.recover()
        assert_sound(device, allowed)
        assert_goes_on(device)
        step, again = (step, again + 1) if more else (step + 1, 1)


@pytest.mark.parametrize("name", ["switch", "take back", "install"])
def test_a_last_line_torn_at_any_byte_is_cut_off_without_a_word(
    made: Callable[[Do], Callable[[], Device]], name: str
) -> None:
    begin, operation, allowed = OPERATIONS[name]
    fresh = made(begin)
    device = fresh()
    operation(device)
    raw = (device.root / "journal").read_bytes()
    last = raw[:-1].rfind(b"\n") + 1
    for end in range(last, len(raw), 23):
        (device.root / "journal").write_bytes(raw[:end])
        device.recover()
        assert not list(device.root.glob("journal.damaged*"))
        assert_sound(device, allowed)
