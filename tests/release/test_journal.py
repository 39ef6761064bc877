"""The journal: what may be torn, what may not be changed, and what becomes of one that was."""

import json
import os
from errno import ENOSPC
from pathlib import Path

import pytest

from tests.release.stores import Device
from tinytx.errors import DeviceError
from tinytx.release import states
from tinytx.release.journal import Journal, read


def journal(device: Device) -> Path:
    return device.root / "journal"


def damage(device: Device, line: int) -> None:
    """Another letter in one line."""
    lines = journal(device).read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"release"', b'"reLease"')
    journal(device).write_bytes(b"".join(lines))


def test_a_deploy_is_written_down_step_by_step(device: Device) -> None:
    device.deploy("A")
    steps = ("received", "verified", "proved", "switched", "committed")
    assert device.lines("A") == [f"{s} {p}" for s in steps for p in ("begin", "done")]


def test_a_line_names_the_release_the_step_the_moment_and_who_did_it(device: Device) -> None:
    device.deploy("A", "B")
    switched = read(journal(device)).entries[-3]
    assert (switched.state, switched.release) == ("switched", device.id("B"))
    assert switched.extra == {"from": device.id("A"), "previous": ""}
    assert switched.by == f"{os.getpid()} test"
    assert switched.at.endswith("+00:00")
    assert switched.uptime > 0
    assert switched.seq == len(read(journal(device)).entries) - 2


def test_each_line_is_json_of_one_line_and_vouches_for_itself(device: Device) -> None:
    device.deploy("A")
    for line in journal(device).read_text().splitlines():
        document = json.loads(line)
        assert {
            "seq",
            "at",
            "boot",
            "uptime",
            "release",
            "state",
            "phase",
            "why",
            "by",
            "check",
        } <= (document.keys())


@pytest.mark.parametrize("line", [0, 3, -2])
def test_a_changed_line_anywhere_is_damage_and_the_file_is_kept_aside(
    device: Device, line: int
) -> None:
    device.deploy("A", "B")
    damage(device, line)
    raw = journal(device).read_bytes()
    words = device.recover()
    assert len(words) == 1
    assert words[0].startswith("the journal was damaged (line ")
    [aside] = device.root.glob("journal.damaged-*")
    assert aside.read_bytes() == raw
    assert aside.name in words[0]
    assert device.current == "B"
    assert device.lines() == ["committed done"]
    assert device.why("B") == words[0]


def test_a_changed_last_line_is_damage_too_and_what_it_decided_is_decided_anew(
    device: Device,
) -> None:
    device.deploy("A", "B")
    damage(device, -1)
    device.recover()
    assert device.current == "B"
    assert device.lines() == ["switched done"]
    device.decide()
    assert device.current == "B"


def test_a_line_that_is_missing_is_damage(device: Device) -> None:
    device.deploy("A")
    lines = journal(device).read_bytes().splitlines(keepends=True)
    journal(device).write_bytes(b"".join(lines[:2] + lines[3:]))
    assert read(journal(device)).damage


@pytest.mark.parametrize(
    "junk", [b"\x00" * 4_096, b"\xff\n", b"{}\n", b"null\n", b"[" * 9_999 + b"\n"]
)
def test_bytes_that_are_no_line_are_never_believed(device: Device, junk: bytes) -> None:
    device.deploy("A")
    before = device.lines()
    with journal(device).open("ab") as file:
        file.write(junk)
    device.recover()
    assert device.current == "A"
    assert device.lines() in (before, ["committed done"])
    device.deploy("B")
    assert device.current == "B"


def test_a_damaged_journal_does_not_commit_what_was_on_trial(device: Device) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    damage(device, 2)
    device.recover()
    trial = states.on_trial(read(journal(device)).entries)
    assert trial is not None
    assert trial.release == device.id("B")
    device.decide("it was bad after all")
    assert device.current == "A"


def test_a_missing_journal_beside_a_release_is_begun_anew_and_says_so(device: Device) -> None:
    device.deploy("A")
    journal(device).unlink()
    assert device.recover()[0].startswith("the journal was missing; taken as committed")
    assert device.lines("A") == ["committed done"]


def test_a_damaged_journal_beside_a_damaged_release_leads_to_the_one_before(
    device: Device,
) -> None:
    device.deploy("A", "B")
    graph = device.store.release(device.id("B")) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"gone")
    damage(device, 2)
    device.recover()
    assert device.current == "A"
    assert "current was damaged" in device.why("A")


def test_a_damaged_journal_does_not_forget_the_serial_number(device: Device) -> None:
    device.deploy("A")
    statement = device.store.statements / f"{device.id('A')}.json"
    statement.write_text(json.dumps({"serial": 41}))
    damage(device, 2)
    device.recover()
    line = states.committed(read(journal(device)).entries)
    assert line is not None
    assert line.serial == 41


def test_whoever_reads_a_damaged_journal_is_told_so_and_adds_nothing(device: Device) -> None:
    device.deploy("A")
    damage(device, 2)
    raw = journal(device).read_bytes()
    with pytest.raises(DeviceError, match="is damaged: line 3 is not as it was written"):
        Journal(device.root, "test").add(device.id("A"), "proved", "begin")
    assert journal(device).read_bytes() == raw


def test_what_is_kept_in_reserve_lets_a_line_be_written_on_a_full_disk(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy("A", "B")
    write = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if (device.root / "reserve").exists():
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    Journal(device.root, "test").add(device.id("B"), "committed", "done", "a last word")
    assert device.why("B") == "a last word"
    assert not (device.root / "reserve").exists()


def test_half_a_line_on_a_full_disk_is_taken_away_again(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy("A")
    before, write = device.lines(), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, data, at: write(d, data[:40], at))
    with pytest.raises(DeviceError, match="No space left on device"):
        Journal(device.root, "test").add(device.id("A"), "committed", "done")
    assert read(journal(device)).size == journal(device).stat().st_size
    assert device.lines() == before
