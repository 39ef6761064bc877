"""Whether a device can take a release, from what it says about itself."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tinytx import __version__
from tinytx.errors import DeviceError
from tinytx.remote.answers import Deployment, Machine, Status
from tinytx.remote.checks import check, room_for, told
from tinytx.remote.devices import Device, Named

OURS, OTHER = "a" * 64, "b" * 64


def status(**changes: object) -> Status:
    now = datetime.now(UTC).isoformat()
    machine = Machine(system="linux", architecture="aarch64", python="3.11.2", clock=now)
    facts = {"schema": 1, "tinytx": __version__, "machine": machine, "free_bytes": 10**9}
    return Status(**{**facts, **changes})  # type: ignore[arg-type]


def machine(**changes: str) -> Machine:
    return msgspec.structs.replace(status().machine, **changes)


PI = Named(name="pi", device=Device(host="pi", platform="linux/arm64"))


def test_a_device_as_it_should_be_passes_without_a_word() -> None:
    assert check(PI, status(), OURS) == []
    assert check(PI, status(tinytx="99.0"), OURS) == []
    assert check(PI, status(tinytx=__version__ + ".dev1"), OURS) == []


@pytest.mark.parametrize(
    ("changes", "says", "remedy"),
    [
        (
            {"machine": machine(architecture="x86_64")},
            "pi is linux on x86_64, not linux/arm64 as the devices file says",
            "right host",
        ),
        ({"machine": machine(system="darwin")}, "pi runs darwin", ""),
        ({"machine": machine(python="3.9.2")}, "has Python 3.9.2; 3.11 is the oldest", ""),
        ({"machine": machine(python="3.²")}, "has Python 3.²; 3.11 is the oldest", ""),
        ({"machine": machine(python="9" * 5000)}, "has Python 999", ""),
        ({"tinytx": "0.0.9"}, "pi has tinytx 0.0.9, this is tinytx", "--prepare pi"),
        (
            {"deployment": Deployment(release=OTHER, state="switched", deadline_in=40.0)},
            "is trying another release, bbbbbbbbbbbb (switched, decided within 40 s)",
            "tinytx rollback pi",
        ),
    ],
)
def test_a_device_that_cannot_take_it_is_refused(
    changes: dict[str, object], says: str, remedy: str
) -> None:
    with pytest.raises(DeviceError) as error:
        check(PI, status(**changes), OURS)
    assert says in error.value.message
    assert remedy in error.value.remedy
    assert error.value.exit_code == 10


@pytest.mark.parametrize(
    "other",
    [
        Deployment(release=OURS, state="switched"),
        Deployment(release=OTHER, state="proved"),
        Deployment(release=OTHER, state="received", phase="begin"),
    ],
)
def test_what_another_workstation_left_before_the_switch_is_not_in_the_way(
    other: Deployment,
) -> None:
    assert check(PI, status(deployment=other), OURS) == []


@pytest.mark.parametrize(
    ("clock", "says"),
    [
        ("1970-01-01T00:02:00+00:00", "days behind this machine's"),
        ("1970-01-01T00:02:00Z", "days behind this machine's"),
        (timedelta(hours=3), "3 hours ahead of"),
        ("half past nine", "which is no time"),
    ],
)
def test_a_clock_that_is_wrong_is_told(clock: str | timedelta, says: str) -> None:
    if isinstance(clock, timedelta):
        clock = (datetime.now(UTC) + clock).isoformat()
    notes = check(PI, status(machine=machine(clock=clock)), OURS)
    assert len(notes) == 1
    assert says in notes[0]


def test_what_the_device_notes_is_passed_on() -> None:
    assert check(PI, status(notes=["its disk is slow"]), OURS) == ["its disk is slow"]


def test_a_disk_without_room_is_refused_before_a_byte_is_sent() -> None:
    assert room_for(PI, status(free_bytes=13_000_000), 12_000_000) is None
    error = room_for(PI, status(free_bytes=12_999_999), 12_000_000)
    assert error is not None
    assert "has 13.0 MB free where its store is; the release needs 13.0 MB" in error.message


def test_spans_of_time_are_told_in_the_unit_that_fits() -> None:
    assert [told(s) for s in (90.0, 150.0, 10_000.0, 400_000.0)] == [
        "90 s", "2 minutes", "3 hours", "5 days",
    ]  # fmt: skip
