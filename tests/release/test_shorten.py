"""A journal of many lines: what follows from it stays, and it is short again."""

import pytest

from tests.release.stores import Device
from tinytx.release import journal as journals
from tinytx.release import shorten, states
from tinytx.release.status import GONE_TOLD, status
from tinytx.release.store import Store


def grown(device: Device, lines: int) -> None:
    """As attempts with many other releases, each given up, leave it."""
    journal = Store(device.root).journal("test")
    entries = journal.entries()
    like = entries[-1]
    for number in range(lines // 2):
        facts = {**vars(like), "release": f"{number:064x}", "state": "rolled-back", "extra": {}}
        entries += [
            states.Entry(**{**facts, "phase": "begin"}),
            states.Entry(**{**facts, "phase": "done"}),
        ]
    with journal.locked():
        journal.replace(entries)


@pytest.mark.parametrize("on_trial", [False, True])
def test_a_long_journal_is_shortened_and_says_the_same(device: Device, on_trial: bool) -> None:
    device.deploy("A", "B")
    if on_trial:
        device.prepare("C")
        device.switch("C")
    before = [device.lines(name) for name in "AB"]
    grown(device, shorten.MOST_LINES)
    assert device.recover() == []
    entries = Store(device.root).journal("test").entries()
    assert len(entries) < 300
    assert [device.lines(name) for name in "AB"] == before
    accepted = states.committed(entries)
    assert accepted is not None and accepted.release == device.id("B")
    assert (states.on_trial(entries) is not None) == on_trial
    if on_trial:
        device.decide("it was no good")
    assert device.current == "B"
    device.deploy("D")
    assert device.current == "D"


def test_a_journal_longer_than_what_is_read_loses_no_line_unsaid(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy("A", "B")
    size = (device.root / "journal").stat().st_size
    monkeypatch.setattr(journals, "_LONGEST", size - 1)
    (said,) = device.recover()
    assert "it is longer than" in said
    (aside,) = device.root.glob("journal.damaged-*")
    assert aside.stat().st_size == size
    assert device.current == "B"


def test_the_answer_about_a_store_stays_short_whatever_was_tried_there(device: Device) -> None:
    device.deploy("A", "B")
    grown(device, 1000)
    told = [one["id"] for one in status(Store(device.root), [])["releases"]]
    assert len(told) == GONE_TOLD + 2
    assert {device.id("A"), device.id("B"), f"{499:064x}"} <= set(told)
