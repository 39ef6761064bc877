"""The short proof: what passes, what fails and why, and what it says that it did not prove."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.serve.releases import sealed
from tinytx.bundle import GOLDEN, GRAPHS, Bundle, Precision, Variant, encode
from tinytx.errors import BudgetFailed, BundleError, LibraryError, MeasurementInvalid, UsageError
from tinytx.measure.policy.budgets import Budget, Quantity, policy_file
from tinytx.measure.policy.scenarios import PROOF, Scenarios, load_scenarios
from tinytx.measure.run.bench import BenchSettings
from tinytx.release.prove import FAIL, INVALID, PASS, Proof, prove

SIZE = Budget("model_size", Quantity(10.0, "MB"))
RSS = Budget("rss", Quantity(400.0, "MB"))
PEAK = Budget("peak_memory", Quantity(512.0, "MB"))
NEXT = Budget("next_token_p95", Quantity(250.0, "ms"))
SLOWED = """
import sys, time
from tinytx.measure.run import worker
from tinytx.runtime.decoder import Decoder

append, run = Decoder.append, worker.run

def slower(self, ids):
    time.sleep(0.02)
    return append(self, ids)

def run_latency(task):
    if task.kind != "next_token":
        raise SystemExit(3)
    return run(task)

Decoder.append = slower
worker.run = run_latency
worker.main()
"""


@pytest.fixture
def few() -> Scenarios:
    """The short proof's own scenarios, less the second that each process is to be watched."""
    scenarios = load_scenarios(policy_file(PROOF))
    token = msgspec.structs.replace(scenarios.next_token, least_seconds=0.0, most=256)
    warm = msgspec.structs.replace(scenarios.warm_up, agreement=0.99)
    return msgspec.structs.replace(scenarios, next_token=token, warm_up=warm)


@pytest.fixture
def quick(few: Scenarios) -> BenchSettings:
    return BenchSettings(scenarios=few, time_limit=20.0, stop_after=40.0, latency_first=True)


@pytest.fixture
def three(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """A bundle whose quantised models are its float32 one under other names, int8 by default, and
    in which the golden tokens of one of them are those of something else."""

    def make(differing: Precision) -> Path:
        held = Bundle(tiny_bundle)
        golden = json.loads(held.read_file(GOLDEN))
        cases = {name: copy.deepcopy(golden["cases"]) for name in GRAPHS}
        for case in cases[differing]:
            case["tokens"] = [(token + 1) % 300 for token in case["tokens"]]
        golden |= {"cases": cases.pop("float32"), "variants": cases}
        graph = held.read_file(GRAPHS["float32"])
        shipped = Variant(shipped=True, reason="", size=len(graph), bits_per_byte=2.0)
        held.manifest = msgspec.structs.replace(
            held.manifest, precision="int8", variants={"int8": shipped, "int4": shipped}
        )
        files = dict.fromkeys(GRAPHS.values(), graph)
        files[GOLDEN] = encode(msgspec.convert(golden, type(held.golden())))
        return tmp_path / sealed(held, tmp_path, files)

    return make


def processor(monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    """Act one with int8 products, or without."""
    place = "tinytx.runtime.processor.has_int8_products"
    monkeypatch.setattr(place, lambda *_: quick)


def row(proof: Proof, name: str) -> dict[str, object]:
    return next(one for one in proof.rows if one["name"] == name)


def test_a_bundle_within_the_budgets_is_proven_and_says_what_was_not(
    tiny_bundle: Path, quick: BenchSettings
) -> None:
    proof = prove(tiny_bundle, [RSS, PEAK, SIZE], "pi-4", settings=quick)
    assert proof.bundle == Bundle(tiny_bundle).id
    assert set(proof.golden) == {"float32"} and proof.golden["float32"] > 0
    if proof.report and not proof.report["machine"]["before"]["emulation"]:
        assert (proof.verdict, proof.reason, proof.exit_code) == (PASS, "", 0)
        assert proof.failure() is None
    assert proof.seconds < 45.0
    told = " ".join(proof.unproven)
    assert "first token" in told and "not a Raspberry Pi 4 Model B" in told
    assert "trained" not in told  # no such budget was asked for
    kinds = [s["kind"] for s in proof.report["scenarios"]] if proof.report else []
    assert kinds == ["memory", "next_token"]
    assert msgspec.json.decode(msgspec.json.encode(proof.document()))["verdict"] == proof.verdict


def test_a_bundle_too_large_in_memory_or_on_disk_fails(
    tiny_bundle: Path, quick: BenchSettings
) -> None:
    """A worker that is killed at its limit, or was seen to have more, needed more than that."""
    small = Budget("peak_memory", Quantity(20.0, "MB")), Budget("model_size", Quantity(1.0, "kB"))
    proof = prove(tiny_bundle, small, settings=quick)
    assert proof.verdict == FAIL and "model size" in proof.reason
    assert isinstance(proof.failure(), BudgetFailed) and proof.exit_code == 7
    if proof.report and not proof.report["machine"]["before"]["emulation"]:
        assert row(proof, "peak_memory")["verdict"] == FAIL and "peak memory" in proof.reason


@pytest.mark.long
def test_a_model_too_slow_fails_whatever_else_could_not_be_tried(
    tiny_bundle: Path, quick: BenchSettings
) -> None:
    settings = replace(quick, worker=(sys.executable, "-P", "-c", SLOWED), time_limit=4.0)
    proof = prove(tiny_bundle, [Budget("next_token_p95", Quantity(10.0, "ms"))], settings=settings)
    if proof.report and proof.report["machine"]["breaches"]:
        pytest.skip("others kept the processor: INVALID by rule")
    assert proof.verdict == FAIL and "over the limit" in proof.reason
    assert proof.golden == {} and "golden tokens could not be tried" in proof.unproven[0]


@pytest.mark.parametrize(
    "differing",
    ["float32", pytest.param("int8", marks=pytest.mark.long)],
)
def test_a_model_that_a_service_may_load_and_that_says_something_else_fails(
    three: Callable[..., Path],
    quick: BenchSettings,
    monkeypatch: pytest.MonkeyPatch,
    differing: Precision,
) -> None:
    """float32 is no default here, and what a service takes where it is faster for many texts."""
    processor(monkeypatch, quick=True)
    proof = prove(three(differing), [SIZE], settings=quick)
    assert (proof.verdict, proof.exit_code) == (FAIL, 9)
    assert "golden outputs" in proof.reason and differing in proof.reason


@pytest.mark.long
@pytest.mark.parametrize("whole", [False, True])
def test_a_model_that_this_machine_does_not_load_is_told_and_no_reason_to_refuse(
    three: Callable[..., Path],
    quick: BenchSettings,
    monkeypatch: pytest.MonkeyPatch,
    whole: bool,
) -> None:
    processor(monkeypatch, quick=False)
    proof = prove(three("int4"), [SIZE], settings=quick, whole=whole)
    assert proof.verdict == PASS
    assert set(proof.golden) == ({"float32", "int8"} if whole else {"float32"})
    told = " ".join(proof.unproven)
    assert ("its int4 are not reproduced here" if whole else "its int4 were not tried") in told


def test_a_damaged_file_fails_before_anything_is_measured(
    tiny_bundle: Path, tmp_path: Path, quick: BenchSettings
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    graph = folder / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    proof = prove(folder, [SIZE], settings=quick)
    assert proof.verdict == FAIL and "model.onnx" in proof.reason
    assert isinstance(proof.failure(), BundleError) and proof.rows == []
    assert proof.report is None and "no budget was judged" in proof.unproven[0]


def test_a_folder_without_a_manifest_fails_with_no_id(tmp_path: Path, quick: BenchSettings) -> None:
    proof = prove(tmp_path, [SIZE], settings=quick)
    assert (proof.bundle, proof.verdict, proof.exit_code) == ("", FAIL, 9)


def test_a_library_that_does_not_run_here_fails(
    tiny_bundle: Path, quick: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LibraryError("the library numpy cannot be used: illegal instruction")

    monkeypatch.setattr("tinytx.measure.run.launch._try_libraries", broken)
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    settings = replace(quick, worker=(sys.executable, "-c", dies))
    proof = prove(tiny_bundle, [SIZE], settings=settings)
    assert proof.verdict == FAIL and "illegal instruction" in proof.reason
    assert isinstance(proof.failure(), LibraryError) and proof.rows == []


def test_what_neither_passes_nor_fails_is_invalid(tiny_bundle: Path, quick: BenchSettings) -> None:
    """No worker answers: nothing is known, and nothing may be switched to."""
    silent = replace(quick, worker=(sys.executable, "-c", "raise SystemExit(3)"))
    proof = prove(tiny_bundle, [NEXT], settings=silent)
    assert proof.verdict == INVALID and "ended with code 3" in proof.reason
    assert isinstance(proof.failure(), MeasurementInvalid) and proof.exit_code == 8


def test_golden_tokens_that_nobody_could_try_are_never_a_pass(
    tiny_bundle: Path, quick: BenchSettings
) -> None:
    silent = replace(quick, worker=(sys.executable, "-c", "raise SystemExit(3)"))
    proof = prove(tiny_bundle, [SIZE], settings=silent)
    assert row(proof, "model_size")["verdict"] == PASS
    assert proof.verdict == INVALID and "golden tokens could not be tried" in proof.reason


@pytest.mark.parametrize(
    ("budgets", "device", "says"),
    [("constitutoin", "", "no budgets of this name"), ("constitution", "pi-44", "pi-4")],
)
def test_budgets_and_devices_that_are_not_known_are_refused(
    tiny_bundle: Path, budgets: str, device: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        prove(tiny_bundle, budgets, device)


MEMORY = """
import sys
from pathlib import Path
from tinytx.measure.policy.budgets import load_budgets
from tinytx.measure.run.bench import BenchSettings
from tinytx.measure.policy.scenarios import Scenarios, NextToken, FirstToken, EndToEnd, WarmUp
from tinytx.release.prove import prove
few = Scenarios(
    next_token=NextToken(contexts=("longest",), most=256, least_seconds=0.0),
    first_token=FirstToken(prompts=()),
    end_to_end=EndToEnd(samples=0), warm_up=WarmUp(window=4, agreement=0.9),
)
settings = BenchSettings(scenarios=few, time_limit=10.0)
proof = prove(Path(sys.argv[1]), load_budgets(), settings=settings)
print(proof.verdict, file=sys.stderr)
status = open("/proc/self/status").read()
print(next(l.split()[1] for l in status.splitlines() if l.startswith("VmHWM")))
assert not {"onnxruntime", "rich"} & set(sys.modules)
"""


def test_the_process_that_proves_stays_below_sixty_megabytes(tiny_bundle: Path) -> None:
    """Its libraries included; the model is in its workers, which the budgets judge."""
    child = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tiny_bundle)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    kilobytes = int(child.stdout.split()[-1])
    assert 0 < kilobytes * 1_024 < 60_000_000
