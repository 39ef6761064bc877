"""``tinytx release``: what programs read on stdout, what people read on stderr, and exit codes."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.release.stores import Device, passing
from tinytx.bundle import MANIFEST
from tinytx.cli.main import run
from tinytx.cli.release.command import SUBCOMMANDS
from tinytx.release import lock, prove, recover, states, watching

Ask = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setattr(prove, "prove", passing)
    monkeypatch.setattr(watching, "start", lambda store, delay=0.0: None)
    (tmp_path / "bundles").mkdir()
    yield Device(tmp_path / "store", tmp_path / "bundles")
    for path, _, _ in os.walk(tmp_path):
        Path(path).chmod(0o755)


@pytest.fixture
def ask(device: Device, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a subcommand; returns its exit code, the document on stdout, and stderr."""

    def asked(*words: str) -> tuple[int, Any, str]:
        code = run(["release", "--store", str(device.root), *words])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return asked


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input, as a pipe that ends."""
    from tinytx.release import intake

    def give(data: bytes) -> None:
        stream = io.BytesIO(data)

        class Given(intake.Descriptor):
            def read(self, size: int, seconds: float) -> bytes | None:
                return stream.read(size)

        monkeypatch.setattr(intake, "Descriptor", Given)

    return give


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help_with_an_example(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["release", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"tinytx release {name}" in out
    assert "Example:" in out
    assert {"--store", "--json"} <= set(out.split())


def test_the_whole_way_by_the_commands_alone(
    device: Device, ask: Ask, given: Callable[[bytes], None]
) -> None:
    bundle, release = device.bundle("A"), device.id("A")
    given((bundle / MANIFEST).read_bytes())
    code, offer, _ = ask("offer")
    assert (code, offer["bundle"], offer["known"]) == (0, release, False)
    assert [set(m) for m in offer["missing"]] == [
        {"name", "sha256", "size", "held", "held_sha256"}
    ] * 3
    for one in offer["missing"]:
        given((bundle / one["name"]).read_bytes())
        code, said, _ = ask("receive", one["sha256"], "--size", str(one["size"]))
        assert (code, said) == (0, {"sha256": one["sha256"], "held": one["size"], "done": True})
    code, said, _ = ask("install", release, "--json")
    assert (code, said) == (
        0,
        {
            "schema": 1,
            "release": release,
            "unchanged": False,
            "linked": 0,
            "serial": None,
            "trust": "this device trusts the transport only",
            "state": "verified",
        },
    )
    code, said, _ = ask("prove", release[:8], "--json")
    assert (code, said["state"], said["proof"]["verdict"]) == (0, "proved", "PASS")
    assert Path(said["path"]).is_file()
    switched = {"schema": 1, "release": release, "state": "switched", "unchanged": False}
    assert ask("switch", release, "--json")[:2] == (0, switched)
    assert ask("switch", release, "--json")[1]["unchanged"] is True
    said = ask("commit", release, "--force", "a test", "--json")[1]
    assert said == {"schema": 1, "release": release, "state": "committed"}
    assert device.current == "A"


def test_status_is_one_document(device: Device, ask: Ask) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    code, said, err = ask("status", "--json")
    assert (code, err) == (0, "")
    assert list(said) == [
        "schema", "tinytx", "store", "machine", "current", "previous", "committed", "releases",
        "deployment", "trust", "lock", "watched_by", "free_bytes", "notes",
    ]  # fmt: skip
    assert set(said["machine"]) == {"system", "architecture", "python", "clock", "boot"}
    assert (said["current"], said["previous"]) == (device.id("B"), device.id("A"))
    assert said["committed"]["release"] == device.id("A")
    deployment = said["deployment"]
    assert 100 < deployment.pop("deadline_in") <= 120
    assert deployment == {
        "release": device.id("B"), "state": "switched", "phase": "done", "why": "",
    }  # fmt: skip
    rows = {row["id"]: (row["state"], row["phase"]) for row in said["releases"]}
    assert rows == {device.id("A"): ("committed", "done"), device.id("B"): ("switched", "done")}
    assert (said["trust"], said["lock"], said["notes"]) == ("transport only", None, [])
    assert said["free_bytes"] > 0


def test_status_for_people_says_what_failed_and_why(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.deploy("A")
    device.prepare("B")
    device.switch("B")
    device.decide("it talks nonsense")
    assert run(["release", "status", "--store", str(device.root)]) == 0
    out = capsys.readouterr().out
    assert f"serves {device.id('A')} (transport only)" in out
    assert f"  {device.id('B')[:12]} rolled-back: it talks nonsense" in out


def test_a_status_of_a_store_that_was_only_prepared_is_empty(device: Device, ask: Ask) -> None:
    device.root.mkdir()
    code, said, _ = ask("status", "--json")
    assert (code, said["current"], said["releases"], said["deployment"]) == (0, None, [], None)


def test_a_status_while_another_is_at_work_names_it_and_does_not_wait(
    device: Device, ask: Ask
) -> None:
    device.deploy("A")
    with lock.held(device.root / "lock", "release prove"):
        code, said, _ = ask("status", "--json")
    assert (code, said["lock"]["command"], said["lock"]["pid"]) == (0, "release prove", os.getpid())


def test_a_failure_is_told_on_stdout_too_when_json_is_asked_for(device: Device, ask: Ask) -> None:
    device.deploy("A")
    code, said, err = ask("rollback", "--json")
    assert code == 10
    assert said == {
        "schema": 1, "error": "there is no earlier release to go back to", "remedy": "",
        "exit_code": 10,
    }  # fmt: skip
    assert err == "tinytx: there is no earlier release to go back to\n"


def test_a_rollback_says_what_is_served_now(device: Device, ask: Ask) -> None:
    device.deploy("A", "B")
    code, said, _ = ask("rollback", "--reason", "nonsense", "--json")
    assert code == 0
    assert said == {
        "schema": 1, "release": device.id("B"), "state": "rolled-back", "current": device.id("A"),
    }  # fmt: skip
    assert device.why("B") == "nonsense"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["receive", "0" * 64], 64),
        (["receive", "0" * 64, "--size", "-1"], 64),
        (["receive", "0" * 64, "--size", "1"], 9),
        (["install", "0" * 64], 9),
        (["install", "nonsense"], 64),
        (["prove", "0" * 64], 10),
        (["switch", "0" * 64], 10),
        (["commit", "0" * 64], 10),
        (["prune", "--keep", "1"], 64),
        (["nonsense"], 64),
    ],
)
def test_what_cannot_be_done_ends_with_its_code_and_one_sentence(
    device: Device, ask: Ask, given: Callable[[bytes], None], words: list[str], code: int
) -> None:
    device.deploy("A")
    given(b"")
    ended, _, err = ask(*words)
    assert ended == code
    assert err.startswith("tinytx: ")
    assert "Traceback" not in err
    assert device.current == "A"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"statement": 1}', b"\xff", b"[" * 9_000])
def test_a_statement_that_is_none_is_refused(
    device: Device, ask: Ask, given: Callable[[bytes], None], raw: bytes
) -> None:
    device.deploy("A")
    given(raw)
    code, _, err = ask("statement", device.id("A"))
    assert (code, err) == (9, "tinytx: standard input holds no statement and signature\n")


def test_a_wrong_device_file_is_named_before_a_release_is_verified(
    device: Device, ask: Ask
) -> None:
    device.send("A")
    (device.root / "device.toml").write_text('chanel = "x"')
    code, _, err = ask("install", device.id("A"))
    assert code == 64
    assert "device.toml: unknown key 'chanel'; did you mean 'channel'?" in err
    assert device.lines("A")[-1] == "rolled-back done"


def test_whoever_runs_anyway_sees_to_it_that_a_trial_is_watched(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(watching, "start", lambda store, delay=0.0: started.append(store.root))
    device.deploy("A")
    recover.keep_watched(device.store)
    device.prepare("B")
    device.switch("B")
    started.clear()
    with lock.held(device.root / "watch.lock", "release watch"):
        recover.keep_watched(device.store)
    assert started == []
    recover.keep_watched(device.store)
    assert started == [device.root]


LIGHT = """
import json, sys
from tinytx.cli.main import run
code = run(["release", *sys.argv[1:]])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
NOT_THERE = {"numpy", "onnxruntime", "rich", "sentencepiece", "psutil", "torch", "onnx", "ssl"}


@pytest.mark.parametrize("words", [["status"], ["install", "ID"], ["rollback"], ["recover"]])
def test_nothing_heavy_is_loaded_on_the_device(device: Device, words: list[str]) -> None:
    device.deploy("A", "B")
    device.send("C")
    here = [device.id("C") if word == "ID" else word for word in words]
    command = [sys.executable, "-c", LIGHT, *here, "--store", str(device.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    code, loaded = json.loads(ended.stderr.splitlines()[-1])
    assert code == 0
    assert {name.split(".")[0] for name in loaded} & NOT_THERE == set()
    assert states.__name__ in loaded
