"""Proof, switch, commit and the way back by hand: what each asks for, and what it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.release.stores import Device, passing
from tinytx.errors import (
    BudgetFailed,
    BundleError,
    DeviceError,
    MeasurementInvalid,
    TinytxError,
    TrustError,
)
from tinytx.release import prove, recover, states, switch, trust, work
from tinytx.release.journal import read


def roll_back(device: Device, reason: str = "") -> tuple[str, str]:
    with work.begun(device.root, "test") as here:
        return switch.roll_back(here, reason)


def commit(device: Device, name: str, force: str = "") -> None:
    with work.begun(device.root, "test") as here:
        switch.commit(here, device.id(name), force)


def failing(code: int, verdict: str) -> Any:
    def proving(folder: Path, *rest: object, **options: object) -> prove.Proof:
        from dataclasses import replace

        return replace(passing(folder), verdict=verdict, reason="it is slow", exit_code=code)

    return proving


@pytest.mark.parametrize(
    ("code", "verdict", "kind"),
    [(7, "FAIL", BudgetFailed), (8, "INVALID", MeasurementInvalid), (9, "FAIL", BundleError)],
)
def test_a_proof_that_does_not_pass_rolls_back_and_keeps_the_reason_and_the_report(
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    verdict: str,
    kind: type[TinytxError],
) -> None:
    device.deploy("A")
    device.send("B")
    device.install("B")
    monkeypatch.setattr(prove, "prove", failing(code, verdict))
    with pytest.raises(kind, match="it is slow"):
        device.prove("B")
    assert device.lines("B")[-1] == "rolled-back done"
    assert device.why("B") == "it is slow"
    report = json.loads((device.root / "proofs" / f"{device.id('B')}.json").read_bytes())
    assert report["verdict"] == verdict
    with pytest.raises(DeviceError, match=r"is not proved \(rolled-back, done: it is slow\)"):
        device.switch("B")
    assert device.current == "A"


def test_what_could_not_be_proven_may_be_allowed_and_the_reason_is_recorded(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.send("A")
    device.install("A")
    monkeypatch.setattr(prove, "prove", failing(8, "INVALID"))
    device.prove("A", allow_invalid="an emulated device")
    line = read(device.root / "journal").entries[-1]
    assert (line.state, line.phase) == ("proved", "done")
    assert line.extra["allowed_invalid"] == "an emulated device"
    assert line.extra["unproven"] == "it is slow"
    device.switch("A")


def test_what_fails_a_budget_cannot_be_allowed(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.send("A")
    device.install("A")
    monkeypatch.setattr(prove, "prove", failing(7, "FAIL"))
    with pytest.raises(BudgetFailed):
        device.prove("A", allow_invalid="please")


@pytest.mark.parametrize("steps", [[], ["send"], ["send", "install"]])
def test_a_release_is_not_switched_to_before_it_is_proved(device: Device, steps: list[str]) -> None:
    device.deploy("A")
    for step in steps:
        getattr(device, step)("B")
    with pytest.raises(DeviceError, match="is not proved") as caught:
        device.switch("B")
    assert caught.value.exit_code == 10
    assert device.current == "A"


def test_a_release_that_was_damaged_after_its_proof_is_not_switched_to(device: Device) -> None:
    device.deploy("A")
    device.prepare("B")
    graph = device.store.release(device.id("B")) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"damaged")
    with pytest.raises(BundleError, match="is damaged"):
        device.switch("B")
    assert device.current == "A"
    assert device.lines("B")[-1] == "rolled-back done"


def test_while_one_is_on_trial_no_other_is_switched_to(device: Device) -> None:
    device.deploy("A")
    device.prepare("B")
    device.prepare("C")
    device.switch("B")
    with pytest.raises(DeviceError, match=f"{device.id('B')} was switched to and is still being"):
        device.switch("C")
    device.decide()
    device.switch("C")
    assert device.current == "C"


def test_what_is_current_already_is_left_alone_by_every_step(device: Device) -> None:
    device.deploy("A")
    before = device.lines()
    assert device.send("A") == []
    assert device.install("A").unchanged
    device.prove("A")
    assert device.switch("A") is False
    assert device.lines() == before


def test_a_commit_by_hand_waits_for_the_watch_or_needs_a_reason(device: Device) -> None:
    device.prepare("A")
    device.switch("A")
    with pytest.raises(DeviceError, match="has not ended"):
        commit(device, "A")
    commit(device, "A", force="no service here")
    assert device.why("A") == "no service here"
    with pytest.raises(DeviceError, match="nothing to commit"):
        commit(device, "A")


def test_back_by_hand_goes_from_the_committed_one_to_the_one_before_and_again(
    device: Device,
) -> None:
    device.deploy("A", "B", "C")
    assert roll_back(device, "nonsense") == (device.id("C"), device.id("B"))
    line = states.committed(read(device.root / "journal").entries)
    assert line is not None
    assert line.release == device.id("B")
    assert device.why("C") == "nonsense"
    assert roll_back(device) == (device.id("B"), device.id("A"))
    with pytest.raises(DeviceError, match="there is no earlier release"):
        roll_back(device)
    assert device.current == "A"
    device.deploy("C")
    assert device.current == "C"


def test_back_by_hand_takes_back_what_is_on_trial_first(device: Device) -> None:
    device.deploy("A", "B")
    device.prepare("C")
    device.switch("C")
    assert roll_back(device) == (device.id("C"), device.id("B"))
    assert device.store.target(device.store.previous) == device.id("A")


def test_back_by_hand_does_not_lead_to_a_damaged_release(device: Device) -> None:
    device.deploy("A", "B")
    graph = device.store.release(device.id("A")) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"damaged")
    with pytest.raises(BundleError, match="is damaged"):
        roll_back(device)
    assert device.current == "B"


def test_a_release_that_is_not_trusted_is_rolled_back_before_its_folder_is_made(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy("A")
    device.send("B")

    def refuse(*arguments: object, **options: object) -> None:
        raise TrustError("the key is not in allowed_signers")

    monkeypatch.setattr(trust, "check", refuse)
    with pytest.raises(TrustError) as caught:
        device.install("B")
    assert caught.value.exit_code == 9
    assert device.why("B") == "the key is not in allowed_signers"
    assert not device.store.release(device.id("B")).exists()


def test_the_serial_number_in_force_is_what_the_next_one_is_compared_with(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    numbers = iter([7, 9, 8])

    def check(root: Path, bundle: str, policy: object, serial: int | None, **o: object) -> Any:
        asked.append(serial)
        return trust.Trusted(next(numbers), "stable", None, "SHA256:key", "")

    monkeypatch.setattr(trust, "check", check)
    device.deploy("A", "B")
    roll_back(device)
    device.send("C")
    device.install("C")
    assert asked == [None, 7, 7]


def serving(device: Device, name: str, boot: str) -> None:
    said = {"release": device.id(name), "pid": 1, "boot": boot, "since": "2026"}
    (device.root / "serving.json").write_text(json.dumps(said))


def test_a_service_that_died_while_it_served_what_is_on_trial_takes_it_back_at_its_next_start(
    device: Device,
) -> None:
    from tinytx.release import clock

    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    for name, boot in (("A", clock.boot()), ("B", "another boot")):
        serving(device, name, boot)
        recover.at_service_start(device.root)
        assert device.current == "B"
    serving(device, "B", clock.boot())
    device.recover()  # no start of the service
    assert device.current == "B"
    [words] = recover.at_service_start(device.root)
    assert words == f"{device.id('B')[:12]} was rolled back: {recover.DIED}"
    assert device.current == "A"


def test_a_service_that_died_while_it_served_what_is_committed_changes_nothing(
    device: Device,
) -> None:
    from tinytx.release import clock

    device.deploy("A", "B")
    serving(device, "B", clock.boot())
    assert recover.at_service_start(device.root) == []
    assert device.current == "B"


@pytest.mark.parametrize("said", ["", "[]", "{}", "null", '{"release": 1, "boot": null}'])
def test_words_of_a_service_that_cannot_be_read_say_nothing(device: Device, said: str) -> None:
    device.prepare("A")
    device.switch("A")
    (device.root / "serving.json").write_text(said)
    recover.at_service_start(device.root)
    assert device.current == "A"


def test_a_current_release_whose_folder_is_gone_leads_to_the_one_before(device: Device) -> None:
    import shutil

    device.deploy("A", "B")
    folder = device.store.release(device.id("B"))
    folder.chmod(0o755)
    shutil.rmtree(folder)
    device.recover()
    assert device.current == "A"
    assert device.why("B") == "its folder is gone"


@pytest.mark.parametrize("step", ["install", "prove"])
def test_what_the_disk_refuses_before_the_switch_is_rolled_back_with_that_reason(
    device: Device, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    device.deploy("A")
    device.send("B")
    if step == "prove":
        device.install("B")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tinytx.release.install._build", full)
        patch.setattr("tinytx.release.switch._prove", full)
        with pytest.raises(DeviceError, match="No space left on device"):
            getattr(device, step)("B")
    assert device.lines("B")[-1] == "rolled-back done"
    assert device.why("B") == "No space left on device"
    assert device.current == "A"
    device.prepare("B")
    device.switch("B")
