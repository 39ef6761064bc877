"""``tinytx doctor`` from the outside."""

import json

import pytest

from tinytx.cli.main import run
from tinytx.measure import doctor
from tinytx.measure.doctor import Ability, Check, Diagnosis
from tinytx.measure.machine import native

ADVICE = Check(name="C++ compiler", ok=False, found="none [red]", remedy="install one")
GOOD = Check(name="numpy", ok=True, found="1.0")
BAD = Check(
    name="onnxruntime",
    ok=False,
    found="illegal instruction",
    remedy="take another",
    prevents=(Ability.RUN, Ability.MEASURE),
)
NO_TORCH = Check(name="torch", ok=False, found="not installed", prevents=(Ability.TRAIN,))


def pretend(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: Diagnosis(checks=[*checks], machine=None))


def test_advice_and_a_missing_torch_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, ADVICE, NO_TORCH)
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "can run, can be measured, cannot train, can export" in err
    assert "none [red]" in err
    assert "-> install one" in err


def test_a_machine_that_cannot_run_ends_with_one_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, BAD)
    assert run(["doctor", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "this machine cannot run or be measured" in err
    assert "-> take another" in err
    assert "numpy" not in err


def test_json_is_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, GOOD, BAD)
    assert run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["can"] == {"run": False, "be measured": False, "train": True, "export": True}
    assert document["healthy"] is False
    assert document["checks"][1]["found"] == "illegal instruction"


def test_the_real_machine_is_told_with_its_processor(capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json", "--quiet"])
    document = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in document["checks"]]
    assert {"Python", "numpy", "onnxruntime", "sentencepiece", "disk", "processor"} <= set(names)
    assert document["machine"]["usable_cores"] >= 1
    assert all(check["ok"] for check in document["checks"] if check["name"] == "numpy")


def test_a_dead_msgspec_is_told_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "illegal instruction: this build does not run on Pi 3, Zero 2 W, Pi 4"
    dead = native.Import("msgspec", False, sentence, "take another")
    monkeypatch.setattr(native, "try_import", lambda name, python: dead)
    assert run(["doctor"]) == 1
    assert capsys.readouterr().err == f"tinytx: msgspec: {sentence}\n  -> take another\n"
