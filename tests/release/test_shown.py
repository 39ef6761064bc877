"""``tinytx release show``: the proof of a release and the last way back."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.release.stores import Device
from tinytx.cli.main import run


def show(store: Path, release: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["release", "--store", str(store), "show", release, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_release_shows_its_proof_and_a_device_that_went_back_says_from_what_to_what(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.deploy("a")
    first = show(device.root, device.id("a"), capsys)
    assert (first["installed"], first["state"], first["went_back"]) == (True, "committed", None)
    assert first["proof"]["verdict"] == "PASS"
    device.prepare("b")
    device.switch("b")
    device.decide("it talks nonsense")
    second = show(device.root, device.id("b")[:12], capsys)
    went = second["went_back"]
    assert (second["release"], second["state"]) == (device.id("b"), "rolled-back")
    assert (went["release"], went["to"]) == (device.id("b"), device.id("a"))
    assert went["why"] == "it talks nonsense"
    assert run(["release", "--store", str(device.root), "show", device.id("b")]) == 0
    told = capsys.readouterr().out
    assert f"went back from {device.id('b')[:12]} to {device.id('a')[:12]}" in told


def test_a_release_that_failed_before_the_switch_took_nothing_back(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.deploy("a")
    device.send("b")
    device.install("b")
    device.store.journal("test").give_up(device.id("b"), "the proof failed")
    assert show(device.root, device.id("b"), capsys)["went_back"] is None


def test_the_first_release_that_is_taken_back_leads_to_none(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.prepare("a")
    device.switch("a")
    device.decide("it is ill")
    assert show(device.root, device.id("a"), capsys)["went_back"] is None


def test_a_damaged_proof_is_told_and_a_missing_one_is_none(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.deploy("a")
    path = device.store.proofs / f"{device.id('a')}.json"
    path.write_text('{"verdict": 7}')
    assert run(["release", "--store", str(device.root), "show", device.id("a")]) == 10
    assert "writes it again" in capsys.readouterr().err
    path.unlink()
    assert show(device.root, device.id("a"), capsys)["proof"] is None
    assert show(device.root, "f" * 64, capsys)["state"] is None
