"""A deployment with the real device half behind a fake ssh that cuts, hangs, lies and is killed."""

import json
import os
import signal
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.remote.bundles import with_file
from tests.remote.device import Devices
from tinytx import __version__
from tinytx.bundle import Bundle
from tinytx.cli.main import run
from tinytx.errors import TrustError
from tinytx.release.statement import parse, unseal
from tinytx.remote import link
from tinytx.remote.answers import Status
from tinytx.remote.devices import chosen, load
from tinytx.remote.statement import Signer
from tinytx.remote.transfer import Transfer
from tinytx.remote.troubles import Refused

BIG = 400_000


def deploy(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and what is told of each device."""
    capsys.readouterr()
    code = run(["deploy", *words, "--json", "--quiet"])
    return code, json.loads(capsys.readouterr().out)["devices"]


@pytest.mark.long
def test_a_cut_transfer_goes_on_where_the_device_says_and_lost_answers_are_asked_for(
    devices: Devices, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = with_file(bundle, tmp_path / "large", "appendix.bin", os.urandom(BIG))
    facts = Bundle(large).manifest.files
    devices.add("pi")
    devices.plan(
        "pi",
        {"in": f"receive {facts['appendix.bin'].sha256}", "cut": BIG // 2},
        {"in": " install ", "code": 255},  # it succeeds, and ssh says that it did not
        {"in": " prove ", "mute": True, "code": 255},  # it succeeds, and nobody hears of it
        {"in": " switch ", "mute": True, "code": 0},
    )
    code, [told] = deploy(capsys, "pi", str(large))
    assert (code, told["end"], told["state"], told["why"]) == (0, "committed", "committed", "")
    passed = [call["passed"] for call in devices.calls(facts["appendix.bin"].sha256)]
    assert passed == [BIG // 2, BIG - BIG // 2]
    assert passed[1] <= 0.55 * BIG
    assert told["files_sent"] == len(facts)
    for word, times in (("install", 1), ("prove", 1), ("switch", 1)):
        assert len(devices.calls(f" {word} ")) == times, word

    before = len(devices.calls())
    code, [told] = deploy(capsys, "pi", str(large))
    assert (code, told["unchanged"], told["files_sent"], told["bytes_sent"]) == (0, True, 0, 0)
    assert len(devices.calls()) == before + 1  # one question


def test_a_proof_that_fails_ends_with_its_code_and_the_devices_after_it_are_not_begun(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi", "spare")
    (devices.folder / "proof-pi").write_text("FAIL: next token, p95: 900 ms are over 250 ms")
    code, [pi, spare] = deploy(capsys, "pi", "spare", str(bundle), "--max-failures", "9")
    assert code == 7
    assert (pi["end"], pi["state"], pi["exit_code"]) == ("failed", "rolled-back", 7)
    assert "900 ms are over 250 ms" in pi["why"]
    assert (spare["end"], spare["why"]) == ("not begun", "pi, the canary, was not committed")
    assert devices.calls(" switch ") == []
    assert {call["host"] for call in devices.calls()} == {"pi"}


def keyed(devices: Devices, *names: str) -> Path:
    """A key that these devices trust."""
    key = devices.folder / "key"
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
    subprocess.run(keygen, check=True)
    for name in names:
        signers = devices.folder / f"stores/{name}/allowed_signers"
        public = key.with_suffix(".pub").read_text()
        signers.write_text(f'release namespaces="tinytx-release" {public}')
    return key


def test_a_device_that_wants_signatures_takes_what_is_signed_for_it_and_nothing_else(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    key = keyed(devices, "pi")
    code, [told] = deploy(capsys, "pi", str(bundle))
    assert (code, told["end"], told["state"]) == (9, "failed", "rolled-back")
    assert "not signed" in told["why"]
    invalid = {"error": "not proven", "exit_code": 8}
    devices.plan("pi", {"in": " prove ", "before": True, "code": 8, "out": json.dumps(invalid)})
    code, [told] = deploy(capsys, "pi", str(bundle), "--sign", str(key))
    assert (code, told["why"]) == (8, "pi: not proven")  # so it was trusted, and installed
    assert len(devices.calls(" statement ")) == 1
    kept = (devices.folder / f"stores/pi/statements/{Bundle(bundle).id}.json").read_text()
    assert '"serial": 1' in kept
    secret = key.read_text().splitlines()[2]
    for path in (devices.folder / "stores/pi/journal", devices.folder / "calls"):
        assert secret not in path.read_text()


def claiming(devices: Devices, name: str, serial: int) -> None:
    """The device says once that it had a release of this number."""
    machine = {"system": "linux", "architecture": os.uname().machine, "python": "3.11.2"}
    release = {"id": "e" * 64, "state": "committed", "serial": serial}
    told = {
        "schema": 1, "tinytx": __version__, "releases": [release], "free_bytes": 10**9,
        "machine": {**machine, "clock": datetime.now(UTC).isoformat()},
    }  # fmt: skip
    devices.plan(name, {"in": " status ", "before": True, "code": 0, "out": json.dumps(told)})


def test_no_serial_number_is_signed_because_a_device_claims_one(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi", "spare")
    key = str(keyed(devices, "pi", "spare"))
    claiming(devices, "pi", 2**53 - 2)
    code, [told] = deploy(capsys, "pi", str(bundle), "--sign", key)
    assert (code, told["end"]) == (9, "failed")
    assert "pi says that it had the serial number 9,007,199,254,740,990, and" in told["why"]
    assert "signed here with this key is 0:" in told["why"]
    assert "--serial 9007199254740991" in told["remedy"]
    assert devices.calls(" statement ") == devices.calls(" receive ") == []
    code, [told] = deploy(capsys, "spare", str(bundle), "--sign", key)  # nothing of it is left
    assert (code, told["end"]) == (0, "committed")
    kept = (devices.folder / f"stores/spare/statements/{told['release']}.json").read_text()
    assert '"serial": 1' in kept


def test_a_serial_number_is_one_above_the_devices_as_far_as_this_key_has_signed_here_or_nearly(
    devices: Devices, bundle: Path
) -> None:
    devices.add("pi")
    [named] = chosen(["pi"], load(devices.file), devices.file)
    key = keyed(devices)

    def number(claimed: int, given: int | None = None) -> int:
        machine = {"system": "linux", "architecture": "x86_64", "python": "3.11.2", "clock": ""}
        release = {"id": "e" * 64, "state": "committed", "serial": claimed}
        told = {"schema": 1, "tinytx": "0", "machine": machine, "releases": [release]}
        status = msgspec.convert(told, Status)
        envelope = Signer(key, Bundle(bundle).id, serial=given).envelope(named, status)
        return parse(unseal(envelope).statement.encode()).serial

    assert [number(1_000), number(7), number(2_001)] == [1_001, 8, 2_002]
    with pytest.raises(TrustError, match=r"number 3,003, and the highest .* is 2,002"):
        number(3_003)
    assert number(3_003, 3_004) == 3_004
    assert [number(3_003), number(-5)] == [3_004, 1]
    (Path(os.environ["TINYTX_STATE_DIR"]) / "serials.json").write_text("{{")
    with pytest.raises(TrustError, match="is 0:"):
        number(3_003)


def test_a_transfer_that_gets_nowhere_is_given_up_and_what_came_is_kept(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    devices.plan("pi", {"in": " receive ", "before": True, "times": 99})
    code, [told] = deploy(capsys, "pi", str(bundle))
    assert (code, told["end"], told["files_sent"]) == (10, "failed", 0)
    assert "the connection to pi ended without an answer" in told["why"]
    assert len(devices.calls(" receive ")) == len(link.WAITS) + 1


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ({"held": 10**30}, "pi holds more of golden.json than there is of it"),
        ({"held": -1}, "pi holds more of golden.json than there is of it"),
        ({"size": 10**30}, "pi asks for a 'golden.json' that is not ours"),
        ({"name": "../\x1b[31m"}, "pi asks for a '../\\x1b[31m' that is not ours"),
    ],
)
def test_what_a_device_says_it_lacks_is_compared_with_what_there_is(
    devices: Devices, bundle: Path, lie: dict[str, Any], says: str
) -> None:
    devices.add("pi")
    whole = Bundle(bundle)
    facts = whole.manifest.files["golden.json"]
    missing = {"name": "golden.json", "sha256": facts.sha256, "size": facts.size, **lie}
    offer = {"bundle": whole.id, "known": False, "missing": [missing]}
    devices.plan("pi", {"in": " offer ", "out": json.dumps(offer), "before": True, "code": 0})
    [named] = chosen(["pi"], load(devices.file), devices.file)
    with pytest.raises(Refused) as refused:
        Transfer(link.Link(named), whole).offer()
    assert refused.value.message == says


@pytest.mark.parametrize(
    ("plan", "says", "code"),
    [
        (
            {"before": True, "err": "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"},
            "the host key of pi is not the one that is known here",
            10,
        ),
        (
            {"before": True, "err": "ssh: connect to host pi port 22: Connection refused\n"},
            "pi refuses the connection",
            10,
        ),
        ({"before": True, "out": "Welcome!\n", "code": 0}, "answered 'Welcome!'", 10),
        ({"before": True, "out": '{"schema": 9}', "code": 0}, "where JSON was expected", 10),
        ({"hang": True}, "did not answer in time", 10),
        (
            {"before": True, "code": 10, "out": '{"error": "cannot write the journal: Read-only '
             'file system", "remedy": "mount it writable", "exit_code": 10}'},
            "cannot write the journal: Read-only file system\npi:   -> mount it writable",
            10,
        ),
    ],
    ids=["host key", "refused", "login script", "unknown words", "hangs", "read-only"],
)  # fmt: skip
def test_a_device_that_cannot_be_asked_gets_one_sentence_and_nothing_is_sent(
    devices: Devices,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    plan: dict[str, Any],
    says: str,
    code: int,
) -> None:
    monkeypatch.setattr(link.Link.ask, "__defaults__", (link.Limits(total=1.0), None, None))
    devices.add("pi")
    devices.plan("pi", plan)
    assert run(["deploy", "pi", str(bundle)]) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in err
    assert out == ""
    assert len(devices.calls()) == 1


def test_a_device_without_tinytx_is_told_apart_from_one_that_is_gone(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    (devices.folder / "bin/tinytx").unlink()
    assert run(["deploy", "pi", str(bundle)]) == 10
    err = capsys.readouterr().err
    assert f"{devices.folder}/bin/tinytx is not there" in err


def test_a_damaged_bundle_goes_nowhere(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    (bundle / "model.onnx").write_bytes(b"x")
    assert run(["deploy", "pi", str(bundle)]) == 9
    assert "model.onnx is damaged" in capsys.readouterr().err
    assert devices.calls() == []


def test_ctrl_c_says_where_the_device_is_left(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi")
    devices.plan("pi", {"hang": True})
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    code, [told] = deploy(capsys, "pi", str(bundle))
    assert (code, told["end"], told["exit_code"]) == (130, "interrupted", 130)
    assert told["why"].startswith("nothing was changed on pi, which serves what it served")


def test_a_dry_run_prints_every_command_and_runs_none(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi", "spare")
    assert run(["deploy", "spare", "pi", str(bundle), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert devices.calls() == []
    assert [line for line in lines if line.startswith("#")] == ["# spare (canary)", "# pi"]
    commands = [line for line in lines if not line.startswith("#")]
    assert all(line.startswith("ssh -T -o BatchMode=yes ") for line in commands)
    for name, facts in Bundle(bundle).manifest.files.items():
        wanted = f"receive {facts.sha256} --size {facts.size} --offset 0"
        assert sum(wanted in line and line.endswith(f"< {bundle}/{name}") for line in lines) == 2


def test_words_that_make_no_sense_are_wrong_usage(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.add("pi", "spare")
    for words, says in (
        (["pi"], "give a DEVICE and a BUNDLE"),
        (["spair", str(bundle)], "has no device 'spair'; did you mean 'spare'?"),
        (["pi", str(bundle), "--statement", "x", "--sign", "y"], "not both"),
        (["pi", str(bundle), "--sign", str(bundle.parent / "key")], "there is no key"),
        (["pi", str(bundle), "--serial", "4"], "--serial goes with --sign KEY"),
        (["--prepare", "pi"], 'is of the way "plain"'),
    ):
        assert run(["deploy", *words]) == 64, words
        assert says in capsys.readouterr().err
    assert devices.calls() == []


COMMANDS = {"proved": "prove", "switched": "switch"}
DIES = """
import os
from tinytx.release.journal import Journal
add = Journal.add

def dying(self, release, state, phase, *rest, **extra):
    entry = add(self, release, state, phase, *rest, **extra)
    if (state, phase) == ({state!r}, "begin"):
        os.kill(os.getpid(), 9)
    return entry

Journal.add = dying
"""


@pytest.mark.long
@pytest.mark.parametrize("state", ["proved", "switched"])
def test_a_step_that_dies_on_the_device_is_taken_up_from_what_is_left_of_it(
    devices: Devices, bundle: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """What died is taken back there, also what was proved: the release is installed anew."""
    devices.add("pi")
    real = devices.folder / "bin/tinytx"
    text, deadly = real.read_text(), devices.folder / "deadly"
    deadly.write_text(DIES.format(state=state))
    once = f"""
import os
if os.path.exists({str(deadly)!r}) and {COMMANDS[state]!r} in sys.argv:
    exec(open({str(deadly)!r}).read())
    os.unlink({str(deadly)!r})
"""
    real.write_text(text.replace("import dataclasses, os\n", f"import dataclasses{once}", 1))
    code, [told] = deploy(capsys, "pi", str(bundle))
    assert (code, told["end"], told["why"]) == (0, "committed", "")
    assert not deadly.exists()
    assert len(devices.calls(" receive ")) == len(Bundle(bundle).manifest.files)
