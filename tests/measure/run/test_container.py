"""The bench in a container, with an engine that answers as Docker does."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytx import __version__
from tinytx.bundle import Bundle
from tinytx.errors import BundleError, MeasurementInvalid, PrerequisiteError, TinytxError
from tinytx.measure.limits.canary import CANARY
from tinytx.measure.policy.budgets import Verdict, load_budgets
from tinytx.measure.policy.devices import load_device
from tinytx.measure.record.reading import parse_report
from tinytx.measure.record.report import Report, document
from tinytx.measure.run.container import Request, bench_in_container, connect

errors = pytest.importorskip("docker.errors", reason="the docker package is not installed")

STORED = Path(__file__).parents[2] / "fixtures" / "report-1.json"


class Engine:
    """A client of an engine that runs nothing: every container ends as it is told to."""

    def __init__(self, status: int = 0, out: bytes = b"", said: str = "", killed: bool = False):
        self.containers = self.images = self  # one object is enough
        self.bench = (status, out, said, killed)
        self.canary: tuple[int, bytes, str, bool] = (137, b"100\n503316480\n", "", True)
        self.labels: dict[str, str] = {"org.opencontainers.image.version": __version__}
        self.id = "sha256:" + "c0ffee" * 8
        self.facts: dict[str, Any] = {"NCPU": 8, "ServerVersion": "26.1"}
        self.created: list[dict[str, Any]] = []
        self.alive: dict[str, Container] = {}
        self.fails: dict[str, BaseException] = {}
        self.closed = False

    def get(self, name: str) -> Any:
        if name.startswith("tinytx-bench-"):
            if name not in self.alive:
                raise errors.NotFound("no such container")
            return self.alive[name]
        if name != "tinytx:runtime":
            raise errors.ImageNotFound("no such image")
        return self

    def info(self) -> dict[str, Any]:
        return self.facts

    def create(self, image: str, **options: Any) -> "Container":
        assert image == self.id
        self.created.append(options)
        self.alive[options["name"]] = Container(self, options)
        if "create" in self.fails:
            raise self.fails["create"]
        return self.alive[options["name"]]

    def close(self) -> None:
        self.closed = True


class Container:
    def __init__(self, engine: Engine, options: dict[str, Any]) -> None:
        self.engine, self.name = engine, options["name"]
        canary = CANARY in options["command"]
        self.ended = engine.canary if canary else engine.bench
        self.fails = {} if canary else engine.fails
        self.attrs = {"State": {"OOMKilled": self.ended[3]}}

    def start(self) -> None:
        if "start" in self.fails:
            raise self.fails["start"]

    def wait(self) -> dict[str, int]:
        if "wait" in self.fails:
            raise self.fails["wait"]
        return {"StatusCode": self.ended[0]}

    def reload(self) -> None:
        pass

    def logs(self, stdout: bool, stderr: bool) -> bytes:
        assert stdout is not stderr
        return self.ended[1] if stdout else self.ended[2].encode()

    def remove(self, force: bool, v: bool) -> None:
        assert force
        del self.engine.alive[self.name]


@pytest.fixture
def out(tiny_bundle: Path) -> bytes:
    """What a bench of the tiny bundle prints."""
    plain = json.loads(STORED.read_bytes())
    plain["bundle"] |= {"id": Bundle(tiny_bundle).id, "path": "/bundle"}
    return json.dumps(plain | {"tinytx": __version__}).encode()


Bench = Callable[..., Report]


@pytest.fixture
def bench(tiny_bundle: Path) -> Bench:
    def measure(engine: Engine, device: str | None = "pi-zero-2w", **request: Any) -> Report:
        found = load_device(device) if device else None
        asked = Request(**{"bundle": tiny_bundle, **request})
        try:
            return bench_in_container(asked, load_budgets(), found, lambda: engine)
        finally:
            assert engine.alive == {}, "a container was left"
            assert engine.closed

    return measure


def test_the_report_comes_out_and_tells_of_the_container(
    bench: Bench, out: bytes, tiny_bundle: Path
) -> None:
    report = bench(Engine(out=out))
    assert report.container is not None
    assert report.container.image_id.startswith("sha256:c0ffee")
    assert report.container.limits.cpuset == "0-3"
    assert report.bundle.path == str(tiny_bundle)
    assert report.limit is not None
    assert report.limit.enforced
    (latency,) = [row for row in report.budgets if row.budget.name == "next_token_p95"]
    assert "this machine's processor (AMD EPYC)" in latency.basis
    again = parse_report(json.dumps(document(report)).encode(), "it")
    assert again.container == report.container


def test_the_container_is_locked_and_has_the_device_as_its_limits(
    bench: Bench, out: bytes, tiny_bundle: Path, tmp_path: Path
) -> None:
    engine, mine = Engine(out=out), tmp_path / "mine.toml"
    mine.touch()
    bench(engine, options=("--time-limit", "9", "--why"), files={"--budgets": mine})
    for options in engine.created:  # the canary's as well
        assert options["network_mode"] == "none"
        assert options["read_only"] is True
        assert options["cap_drop"] == ["ALL"]
        assert options["security_opt"] == ["no-new-privileges:true"]
        assert options["mem_limit"] == options["memswap_limit"] == 512_000_000
        assert options["nano_cpus"] == 4_000_000_000
        assert options["cpuset_cpus"] == "0-3"
    words = engine.created[-1]["command"]
    assert words[:4] == ["bench", "/bundle", "--json", "--quiet"]
    assert words[4:] == ["--time-limit", "9", "--why", "--budgets", "/inputs/budgets.toml"]
    mounts = {mount["Target"]: mount for mount in engine.created[-1]["mounts"]}
    assert all(mount["ReadOnly"] and mount["Type"] == "bind" for mount in mounts.values())
    assert mounts["/bundle"]["Source"] == str(tiny_bundle.resolve())
    assert mounts["/inputs/budgets.toml"]["Source"] == str(mine)


def test_the_user_inside_is_the_owner_of_the_bundle(
    bench: Bench, out: bytes, tiny_bundle: Path
) -> None:
    engine = Engine(out=out)
    bench(engine)
    owner = tiny_bundle.stat()
    assert engine.created[-1]["user"] == f"{owner.st_uid}:{owner.st_gid}"
    engine = Engine(out=out)
    engine.facts["SecurityOptions"] = ["name=seccomp", "name=rootless"]
    bench(engine)
    assert engine.created[-1]["user"] == "0:0"  # which is the caller, outside


def test_a_container_at_its_limit_makes_the_verdict_invalid(bench: Bench, out: bytes) -> None:
    plain = json.loads(out)
    plain["machine"]["after"] |= {"group_limit": 512_000_000, "group_peak": 512_000_000}
    report = bench(Engine(out=json.dumps(plain).encode()))
    assert report.verdict is Verdict.INVALID
    assert [r.budget.name for r in report.budgets if "gave pages back" in r.reason] == [
        "rss", "peak_memory",
    ]  # fmt: skip


def test_the_peak_of_another_group_is_not_the_containers(bench: Bench, out: bytes) -> None:
    facts = bench(Engine(out=out)).container  # the stored report saw the whole machine's group
    assert facts is not None
    assert facts.peak is None
    assert not facts.at_limit


def test_without_a_device_cores_are_not_limited(bench: Bench, out: bytes) -> None:
    engine = Engine(out=out)
    report = bench(engine, device=None)
    assert "nano_cpus" not in engine.created[-1]
    assert engine.created[-1]["mem_limit"] == 512_000_000
    assert report.container is not None
    assert report.container.notes


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ((0, b"575995904\n", "", False), "got more and lived"),
        ((1, b"", "python3: not here", False), "ended with 1: python3: not here"),
        ((137, b"575995904\n", "", True), "killed only after it had 576 MB, more than the limit"),
    ],
)
def test_a_limit_that_no_canary_died_of_is_not_called_enforced(
    bench: Bench, out: bytes, canary: tuple[int, bytes, str, bool], words: str
) -> None:
    engine = Engine(out=out)
    engine.canary = canary
    proof = bench(engine).limit
    assert proof is not None
    assert not proof.enforced
    assert words in proof.reason


@pytest.mark.parametrize(
    ("status", "verdict"), [(0, Verdict.PASS), (7, Verdict.FAIL), (8, Verdict.INVALID)]
)
def test_exit_codes_that_are_verdicts_are_no_errors(
    bench: Bench, out: bytes, status: int, verdict: Verdict
) -> None:
    plain = json.loads(out)
    plain["budgets"][0]["verdict"] = verdict
    assert bench(Engine(status, json.dumps(plain).encode())).verdict is verdict


@pytest.mark.parametrize(
    ("ended", "kind", "words"),
    [
        (
            (9, b"", "tinytx: no bundle\n  -> make one\n", False),
            BundleError,
            "9: no bundle -> make",
        ),
        ((1, b"", "tinytx: no /proc\n", False), PrerequisiteError, "ended with 1: no /proc"),
        ((8, b"", "tinytx: unsteady\n", False), MeasurementInvalid, "unsteady"),
        ((64, b"", "tinytx: No such option: --why\n", False), PrerequisiteError, "does not know"),
        ((70, b"", "Traceback\nValueError: x\n", False), TinytxError, "ended with 70: ValueError"),
        ((139, b"", "", False), TinytxError, "ended with 139: it said nothing"),
        ((137, b"", "", True), MeasurementInvalid, "killed at the limit of 512 MB"),
        ((137, b"", "", False), MeasurementInvalid, "killed from outside"),
        ((0, b"hello", "", False), PrerequisiteError, "the image does not fit"),
        ((0, b"", "", False), TinytxError, "ended with 0: it said nothing"),
        (
            (255, b"", "exec /usr/bin/tini: exec format error\n", False),
            PrerequisiteError,
            "is for another processor than this machine's",
        ),
    ],
)
def test_anything_else_is_an_error_with_the_sentence_from_inside(
    bench: Bench, ended: tuple[int, bytes, str, bool], kind: type[TinytxError], words: str
) -> None:
    with pytest.raises(TinytxError) as caught:
        bench(Engine(*ended))
    assert type(caught.value) is kind
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ("create", errors.APIError("400", explanation="bind source path does not exist: /b"),
         "cannot mount what the bench reads: bind source path does not exist: /b"),
        ("start", errors.APIError("500", explanation="no cpuset controller"), "refused: no cpuset"),
        ("wait", ConnectionError("gone"), "stopped answering: gone"),
        ("wait", errors.DockerException("odd"), "stopped answering: odd"),
    ],
)  # fmt: skip
def test_what_the_engine_refuses_is_one_sentence(
    bench: Bench, out: bytes, where: str, error: Exception, words: str
) -> None:
    engine = Engine(out=out)
    engine.fails[where] = error
    with pytest.raises(PrerequisiteError) as caught:
        bench(engine)
    assert words in caught.value.message


@pytest.mark.parametrize("where", ["create", "start", "wait"])
def test_ctrl_c_removes_the_container(bench: Bench, out: bytes, where: str) -> None:
    engine = Engine(out=out)
    engine.fails[where] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench(engine)
    assert engine.created


def test_an_image_that_is_missing_or_does_not_fit_is_refused(bench: Bench, out: bytes) -> None:
    with pytest.raises(PrerequisiteError, match="no image other:tag") as caught:
        bench(Engine(out=out), image="other:tag")
    assert "docker buildx bake" in caught.value.remedy
    for labels, words in (
        ({}, "not one of tinytx's"),
        (
            {"org.opencontainers.image.version": "0.0.1"},
            f"holds tinytx 0.0.1, this is {__version__}",
        ),
    ):
        engine = Engine(out=out)
        engine.labels = labels
        with pytest.raises(PrerequisiteError, match=words):
            bench(engine)
        assert engine.created == []
    older = json.dumps(json.loads(out) | {"tinytx": "0.0.1"}).encode()
    with pytest.raises(PrerequisiteError, match=r"holds tinytx 0\.0\.1"):
        bench(Engine(out=older))


def test_a_report_of_another_bundle_is_refused(bench: Bench, out: bytes) -> None:
    plain = json.loads(out)
    plain["bundle"]["id"] = "feed" * 16
    with pytest.raises(BundleError, match="measured another bundle: feedfeedfeed"):
        bench(Engine(out=json.dumps(plain).encode()))


def test_a_damaged_bundle_is_found_before_any_engine_is_asked(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        bench_in_container(Request(tmp_path), [], None, lambda: pytest.fail("asked"))


def test_no_engine_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(PrerequisiteError, match="no Docker engine answers"):
        connect()


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker.client", None)
    with pytest.raises(PrerequisiteError, match="needs the Python package docker") as caught:
        connect()
    assert caught.value.remedy.endswith(" -m pip install 'docker>=7'")


def test_the_module_does_not_import_docker() -> None:
    code = "import sys, tinytx.measure.run.container; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
