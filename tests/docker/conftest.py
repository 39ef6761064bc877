"""A real engine, the images of docker/bake.hcl, and the services exactly as compose.yaml has them.

These tests run with `pytest -m docker` only (docker/ci.sh does that): the others need no engine.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import prose

docker = pytest.importorskip("docker", reason="the docker package is not installed")

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "docker" in config.getoption("markexpr"):
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs an engine: run with -m docker"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of an engine that answers and has the runtime image.

    Without one tests are skipped; docker/ci.sh, which has made one, wants them to fail.
    """
    lacking = pytest.fail if "TINYTX_ENGINE_TESTS" in os.environ else pytest.skip
    try:
        client = docker.from_env(timeout=1200)
        client.ping()
    except docker.errors.DockerException as error:
        lacking(f"no Docker engine answers ({error}): bash docker/engine.sh")
    try:
        client.images.get("tinytx:runtime")
    except docker.errors.ImageNotFound:
        lacking("tinytx:runtime is not built: docker buildx bake -f docker/bake.hcl")
    yield client
    client.close()


@pytest.fixture(scope="session")
def services() -> dict[str, Any]:
    """compose.yaml as the engine will see it."""
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    found = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    services: dict[str, Any] = json.loads(found.stdout)["services"]
    return services


def options(service: dict[str, Any]) -> dict[str, Any]:
    """A service's limits as arguments for docker's containers.run."""
    limits: dict[str, Any] = {
        "image": service["image"],
        "entrypoint": service["entrypoint"],
        "read_only": service["read_only"],
        "cap_drop": service["cap_drop"],
        "security_opt": service["security_opt"],
        "tmpfs": dict(line.split(":", 1) for line in service["tmpfs"]),
    }
    if "mem_limit" in service:
        limits["mem_limit"] = int(service["mem_limit"])
        limits["memswap_limit"] = int(service["memswap_limit"])
        limits["nano_cpus"] = int(float(service["cpus"]) * 1e9)
        limits["network_mode"] = service["network_mode"]
    return limits


@pytest.fixture
def start(engine: Any, services: dict[str, Any], volume: str) -> Iterator[Callable[..., Any]]:
    """Start a service's container, changed by keywords; it is removed when the test ends.

    ``volume`` is asked for so that it outlives the containers that use it.
    """
    started = []

    def begin(name: str, command: list[str], **changes: Any) -> Any:
        limits = {**options(services[name]), **changes}
        container = engine.containers.create(command=command, **limits)
        started.append(container)
        container.start()
        return container

    yield begin
    for container in started:
        container.remove(force=True)


@pytest.fixture
def run(start: Callable[..., Any]) -> Run:
    """Run a service to its end: exit code, and what it printed: standard output, then standard
    error, each whole. As the engine keeps them, a line of one may lie within the other."""

    def to_the_end(name: str, command: list[str], **changes: Any) -> tuple[int, str]:
        container = start(name, command, **changes)
        status = container.wait(timeout=1200)["StatusCode"]
        streams = [{"stdout": True, "stderr": False}, {"stdout": False, "stderr": True}]
        return status, "".join(container.logs(**stream).decode() for stream in streams)

    return to_the_end


@pytest.fixture
def python(run: Run) -> Run:
    """Run Python code under a service's limits."""

    def code(name: str, text: str, **changes: Any) -> tuple[int, str]:
        return run(name, ["-c", text], entrypoint=["python3"], **changes)

    return code


@pytest.fixture
def volume(engine: Any) -> Iterator[str]:
    """A fresh named volume."""
    made = engine.volumes.create()
    yield made.name
    made.remove(force=True)


@pytest.fixture(scope="session")
def readable_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle made on this machine that any user may read."""
    copy = tmp_path_factory.mktemp("bundle") / "bundle"
    shutil.copytree(tiny_bundle, copy)
    return readable(copy)


@pytest.fixture(scope="session")
def prose_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of real text, by shape and script, of all three precisions each, for any user."""
    folder = tmp_path_factory.mktemp("prose")
    return {name: readable(prose.make(name, folder)) for name in prose.MADE}


def readable(bundle: Path) -> Path:
    """Lets any user read it."""
    for path in (bundle, *bundle.rglob("*"), *bundle.parents[:4]):
        if path.owner() == bundle.owner() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return bundle
