"""``tinytx checklist`` from the outside: words, JSON, Markdown, exit codes, bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.release import stores
from tests.remote.conftest import bundle, devices
from tests.remote.device import Devices
from tinytx.bundle import Bundle
from tinytx.checklist import checking
from tinytx.checklist.items import ITEMS, Found, done, unknown
from tinytx.cli.main import run
from tinytx.release import prove

__all__ = ["bundle", "devices"]
STORED = Path(__file__).parents[1] / "fixtures" / "report-1.json"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs the model has tests of its own."""
    fine = done("it was not tried")
    monkeypatch.setattr(checking.running, "telemetry_and_offline", lambda folder: (fine, fine))
    monkeypatch.setattr(checking.sealed, "golden", lambda bundle: fine)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the items by name."""
    capsys.readouterr()
    code = run(["checklist", *words, "--json", "--quiet"])
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["items"]] == list(ITEMS)
    return code, {one["name"]: one for one in document["items"]} | {"document": document}


def test_a_bundle_alone_is_told_with_what_only_a_device_can_say(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "release.md"
    assert run(["checklist", str(tiny_bundle), "--markdown", str(page)]) == 8
    out, err = capsys.readouterr()
    assert out == ""
    assert "8 of 14 done" in err
    assert "-> tinytx deploy DEVICE " in err
    assert page.read_text().startswith("## Before the release: cannot be told from here\n")
    assert page.read_text().count("- [x] ") == 8


def test_a_damaged_file_ends_with_7_and_nothing_of_it_is_run(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (copy / "model.onnx").write_bytes(b"no graph")
    code, items = listed(capsys, str(copy))
    assert (code, items["document"]["verdict"]) == (7, "not done")
    assert items["hashes"]["state"] == "not done"
    for name in ("golden", "telemetry", "offline", "silent"):
        assert items[name]["state"] == "cannot be told from here"
        assert "not tried" in items[name]["told"]


def test_all_done_ends_with_0(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything: dict[str, Found] = dict.fromkeys(ITEMS, done("yes"))
    monkeypatch.setattr(checking, "_of_bundle", lambda *_: everything)
    monkeypatch.setattr(checking, "_of_target", lambda *_: {})
    assert listed(capsys, str(tiny_bundle))[0] == 0
    everything["signed"] = unknown("?")
    assert listed(capsys, str(tiny_bundle))[0] == 8


def test_a_device_is_asked_for_what_it_serves_and_whether_it_went_back(
    quick: None,
    devices: Devices,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prove, "prove", stores.passing)
    devices.add("pi")
    there = stores.Device(devices.folder / "stores/pi", tmp_path / "bundles")
    bundle = str(there.bundle("a"))
    code, items = listed(capsys, bundle, "--device", "pi")
    assert (code, items["in_force"]["told"]) == (7, "pi serves nothing")
    there.deploy("a")
    code, items = listed(capsys, bundle, "--device", "pi")
    assert items["in_force"]["state"] == items["budgets"]["state"] == "done"
    assert items["rollback"]["told"] == "pi has never gone back to a release before"
    assert "takes what is not signed" in items["signed"]["told"]
    there.prepare("b")
    there.switch("b")
    there.decide("a trial")
    _, items = listed(capsys, bundle, "--device", "pi")
    assert items["rollback"]["state"] == items["in_force"]["state"] == "done"
    _, items = listed(capsys, str(there.bundle("b")), "--device", "pi")
    assert items["in_force"]["told"] == "pi went back from it: a trial"


def test_a_device_that_gives_no_answer_or_is_too_old_leaves_its_items_open(
    quick: None, devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    devices.plan("pi", {"in": "status", "before": True, "err": "ssh: No route to host\n"})
    _, items = listed(capsys, str(bundle), "--device", "pi")
    for name in ("budgets", "limit", "golden_there", "signed", "in_force", "rollback"):
        assert items[name]["state"] == "cannot be told from here", name
    old = "tinytx: No such command 'show'.\n"
    devices.plan("pi", {"in": " show ", "before": True, "code": 64, "err": old})
    _, items = listed(capsys, str(bundle), "--device", "pi")
    assert items["in_force"]["told"] == "pi serves nothing"
    assert items["rollback"]["state"] == "cannot be told from here"
    assert "is too old: " in items["rollback"]["told"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["none"], 9, "none is not a bundle"),
        (["BUNDLE", "--report", "none.json"], 64, "cannot read the report"),
        (["BUNDLE", "--report", str(STORED)], 64, "is about the bundle 2d97d65ffcfe"),
        (["BUNDLE", "--signers", "x"], 64, "--signers goes with --statement"),
        (["BUNDLE", "--statement", "none"], 9, "none is missing"),
        (["BUNDLE", "--budgets", "none.toml"], 64, "none.toml"),
        (["BUNDLE", "--device", "pi2"], 64, "did you mean 'pi1'?"),
        (["BUNDLE", "--markdown", "/proc/x/release.md"], 64, "cannot write"),
    ],
)
def test_what_is_none_is_told_in_a_sentence(
    quick: None,
    devices: Devices,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    says: str,
) -> None:
    devices.add("pi1")
    capsys.readouterr()
    given = [str(tiny_bundle) if word == "BUNDLE" else word for word in words]
    assert run(["checklist", *given]) == code
    assert says in capsys.readouterr().err.replace("\n", " ")


def test_a_report_of_this_very_bundle_is_read(
    quick: None, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = json.loads(STORED.read_text())
    report["bundle"]["id"] = Bundle(tiny_bundle).id
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    _, items = listed(capsys, str(tiny_bundle), "--report", str(path))
    assert items["budgets"]["told"].startswith("PASS on ")
    assert "bench --device CLASS there" in items["budgets"]["told"]
