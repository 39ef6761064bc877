"""The arm64 runtime image on every Raspberry Pi's processor, as QEMU has them.

Emulation proves function and instruction set; latency and memory are INVALID by rule.
"""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker import documents
from tests.fixtures import prose

pytestmark = pytest.mark.docker
Run = Callable[..., tuple[int, str]]

PROCESSORS = ["cortex-a53", "cortex-a72", "cortex-a76", "max"]
BOARDS = {"cortex-a53": "float32", "cortex-a72": "float32", "cortex-a76": "int8"}
"""What each loads of a bundle whose default is int8."""
ILLEGAL = "illegal instruction: this build does not run on Pi 3, Zero 2 W, Pi 4"
OLD = "onnxruntime==1.21.0"
# One short context and few samples: no figure counts under emulation, only that bench works.
FEW = """
schema = 1
[warm_up]
window = 4
agreement = 0.9
windows = 2
[next_token]
contexts = [16]
first_look = 8
least_seconds = 0.0
[first_token]
prompts = [16]
samples = 2
[end_to_end]
prompt = "The"
tokens = 4
samples = 2
"""


@pytest.fixture
def on(run: Run, readable_bundle: Path) -> Run:
    """Run a tinytx command of the arm64 image on one processor."""

    def emulated(processor: str, *arguments: str, **changes: object) -> tuple[int, str]:
        volumes = {str(readable_bundle): {"bind": "/data/bundle", "mode": "ro"}}
        volumes |= changes.pop("volumes", {})  # type: ignore[arg-type]
        environment = {"QEMU_CPU": processor, "COLUMNS": "160"}
        environment |= changes.pop("environment", {})  # type: ignore[arg-type]
        # The limit is for the device's own processor: the emulator itself takes much memory.
        limits = {"mem_limit": "2g", "memswap_limit": "2g", "tty": False}
        return run(
            "verify",
            list(arguments),
            entrypoint=["/usr/bin/tini", "--", "python3", "-P", "-m", "tinytx.cli.main"],
            platform="linux/arm64",
            volumes=volumes,
            environment=environment,
            **limits,
            **changes,
        )

    return emulated


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_golden_tokens_of_amd64_are_reproduced(on: Run, processor: str) -> None:
    status, out = on(processor, "verify", "/data/bundle")
    assert status == 0, out
    assert "golden tokens reproduced" in out


@pytest.mark.parametrize("name", prose.MADE)
@pytest.mark.parametrize("processor", BOARDS)
def test_models_of_real_text_say_there_what_they_said_on_amd64_in_every_precision(
    on: Run, prose_bundles: dict[str, Path], processor: str, name: str
) -> None:
    mounted = {str(prose_bundles[name]): {"bind": "/prose", "mode": "ro"}}
    status, out = on(processor, "verify", "/prose", "--json", "--quiet", volumes=mounted)
    assert status == 0, out
    document = documents.first(out)
    assert document["differing"] == {}, out
    assert list(document["precisions"]) == ["float32", "int8", "int4"]
    assert min(document["precisions"].values()) > 50
    assert document["judged"] == BOARDS[processor]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_library_runs_and_the_doctor_sees_the_emulation(on: Run, processor: str) -> None:
    status, out = on(processor, "doctor", "--json", "--quiet")
    document = documents.first(out)
    checks = {check["name"]: check for check in document["checks"]}
    assert status == 1
    assert document["can"]["run"]
    assert not document["can"]["be measured"]
    for name in ("numpy", "onnxruntime", "sentencepiece", "msgspec", "psutil"):
        assert checks[name]["ok"], checks[name]
    assert "emulated" in checks["processor"]["found"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_text_is_generated(on: Run, processor: str) -> None:
    arguments = ["/data/bundle", "The", "--max-tokens", "12", "--temperature", "0"]
    status, out = on(processor, "generate", *arguments, "--threads", "1")
    assert status == 0, out
    assert "tokens" in out


@pytest.mark.parametrize("processor", PROCESSORS)
def test_bench_runs_but_nothing_measured_counts(
    on: Run, readable_bundle: Path, processor: str
) -> None:
    few = readable_bundle.parent / "few.toml"
    few.write_text(FEW)
    few.chmod(0o644)
    arguments = ["/data/bundle", "--scenarios", "/few.toml", "--time-limit", "1"]
    mounted = {str(few): {"bind": "/few.toml", "mode": "ro"}}
    status, out = on(processor, "bench", *arguments, "--json", "--quiet", volumes=mounted)
    document = documents.first(out)
    verdicts = {line["name"]: line["verdict"] for line in document["budgets"]}
    assert status == 8, out[-500:]
    assert verdicts["model_size"] == "PASS"
    for name in ("rss", "peak_memory", "next_token_p95"):
        assert verdicts[name] == "INVALID"


@pytest.fixture(scope="session")
def old_onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that needs more than ARMv8.0, unpacked; found in the index that pip uses."""
    folder = tmp_path_factory.mktemp("old")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", OLD]
    command += ["--only-binary=:all:", "--python-version", "3.11", "--dest", str(folder)]
    command += ["--platform", "manylinux_2_27_aarch64", "--platform", "manylinux_2_28_aarch64"]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "lib")
    for path in [folder, *folder.parents[:2], *(folder / "lib").rglob("*")]:
        path.chmod(0o755)
    return folder / "lib"


@pytest.mark.parametrize(
    ("processor", "illegal"),
    [("cortex-a53", True), ("cortex-a72", True), ("cortex-a76", False), ("max", False)],
)
def test_a_planted_build_for_newer_processors_is_reported_and_is_no_crash(
    on: Run, old_onnxruntime: Path, processor: str, illegal: bool
) -> None:
    status, out = on(
        processor,
        "doctor",
        "--json",
        "--quiet",
        volumes={str(old_onnxruntime): {"bind": "/old", "mode": "ro"}},
        environment={"PYTHONPATH": "/old"},
    )
    document = documents.first(out)
    (check,) = [check for check in document["checks"] if check["name"] == "onnxruntime"]
    assert status == 1
    assert document["can"]["run"] is not illegal
    assert check["found"] == (ILLEGAL if illegal else "1.21.0")
