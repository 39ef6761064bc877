"""The same bench inside the runtime image, under a device's limits, through the Docker API.

What is measured is measured inside; the report comes out as JSON and is read as a stored one.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tinytx import __version__
from tinytx.bundle import Bundle
from tinytx.errors import (
    BundleError,
    Interrupted,
    MeasurementInvalid,
    PrerequisiteError,
    TinytxError,
    UsageError,
)
from tinytx.measure.limits.canary import BEYOND, CANARY, RESERVE, LimitProof, available
from tinytx.measure.limits.confinement import (
    ContainerFacts,
    Limits,
    labelled,
    limits_for,
    notes_for,
    without_cut_off,
)
from tinytx.measure.policy.budgets import Budget, Quantity
from tinytx.measure.policy.devices import Device
from tinytx.measure.record.reading import parse_report
from tinytx.measure.record.report import Report, overall
from tinytx.measure.run.bench import check_unchanged
from tinytx.packages import how_to_install

logger = logging.getLogger(__name__)

IMAGE = "tinytx:runtime"
"""The tag that docker/bake.hcl and compose.yaml give the runtime image."""
BUILD = "build it: docker buildx bake -f docker/bake.hcl runtime"
VERSION_LABEL = "org.opencontainers.image.version"
INSIDE = "/bundle"
VERDICTS = (0, 7, 8)
"""Exit codes of a bench that came to its end."""
KILLED = 137
ERRORS: dict[int, type[TinytxError]] = {
    kind.exit_code: kind
    for kind in (PrerequisiteError, MeasurementInvalid, BundleError, Interrupted)
}
"""What an exit code inside is here. A wrong flag is a wrong image: flags were checked before."""


@dataclass(frozen=True)
class Request:
    """What to run in which image."""

    bundle: Path
    image: str = IMAGE
    options: tuple[str, ...] = ()
    """Options of ``tinytx bench`` as they are."""
    files: dict[str, Path] = field(default_factory=dict)
    """Options that take a file, which is mounted."""


@dataclass(frozen=True)
class _Ended:
    """A container that has stopped."""

    status: int
    out: bytes
    errors: str
    killed: bool


def connect() -> Any:
    """A client of the engine. Raises :class:`PrerequisiteError`."""
    try:
        from docker.client import DockerClient
        from docker.errors import DockerException
    except ImportError as error:
        raise PrerequisiteError(
            "`tinytx bench --container` needs the Python package docker, which is not installed",
            how_to_install("docker"),
        ) from error
    try:
        client = DockerClient.from_env()
        client.ping()
    except (DockerException, OSError) as error:
        refused = "Permission" in str(error)
        raise PrerequisiteError(
            "the Docker engine refuses this user" if refused else "no Docker engine answers",
            "join the group docker, or use sudo"
            if refused
            else "start it, see docs/images.md; DOCKER_HOST names one that is elsewhere",
        ) from error
    return client


def bench_in_container(
    request: Request,
    budgets: list[Budget],
    device: Device | None = None,
    connect: Callable[[], Any] = connect,
) -> Report:
    """Measure the bundle in a container with the limits of ``device``, and read its report.

    Raises :class:`PrerequisiteError` for an engine or an image that is missing or does not fit,
    :class:`MeasurementInvalid` when the bench itself was killed, and what the bench inside raised.
    """
    bundle = Bundle(request.bundle)
    bundle.check_files()
    client = connect()
    try:
        with _engine_errors():
            image = _find_image(client, request.image)
            info = client.info()
            limits = limits_for(device, budgets, int(info["NCPU"]))
            proof = _prove(client, image, limits)
            options = _mounted(request, info) | {"command": _command(request)}
            ended = _run(client, image, limits, options)
        report = _read(ended, request.image, limits)
    finally:
        client.close()
    check_unchanged(bundle)
    if report.bundle.id != bundle.id:
        raise BundleError(f"the container measured another bundle: {report.bundle.id[:12]}")
    facts = ContainerFacts(
        engine=f"Docker {info.get('ServerVersion', 'of unknown version')}",
        image=request.image,
        image_id=image.id,
        limits=limits,
        notes=notes_for(device, limits),
        killed=ended.killed,
        # Only of the group that has our limit: what else it saw is another group's.
        peak=report.after.group_peak if report.after.group_limit == limits.memory else None,
    )
    return _completed(report, bundle, facts, proof)


def _completed(
    report: Report, bundle: Bundle, facts: ContainerFacts, proof: LimitProof | None
) -> Report:
    """The report with what only the outside knows."""
    rows = without_cut_off(labelled(report.budgets, report.before.processor), facts)
    return msgspec.structs.replace(
        report,
        bundle=msgspec.structs.replace(report.bundle, path=str(bundle.folder)),
        budgets=rows,
        verdict=overall(rows),
        limit=proof or report.limit,
        container=facts,
    )


def _find_image(client: Any, name: str) -> Any:
    """The image, if it is one of this version of tinytx; it is never fetched."""
    from docker.errors import ImageNotFound

    try:
        image = client.images.get(name)
    except ImageNotFound as error:
        raise PrerequisiteError(f"the engine has no image {name}", BUILD) from error
    version = (image.labels or {}).get(VERSION_LABEL)
    if version is None:
        raise PrerequisiteError(
            f"the image {name} is not one of tinytx's (no version label)", BUILD
        )
    _check_version(version, name)
    return image


def _check_version(version: str, image: str) -> None:
    if version != __version__:
        raise PrerequisiteError(
            f"the image {image} holds tinytx {version}, this is {__version__}: their figures "
            "would not be comparable",
            BUILD,
        )


def _command(request: Request) -> list[str]:
    words = ["bench", INSIDE, "--json", "--quiet", *request.options]
    for option in request.files:
        words += [option, _inside(option)]
    return words


def _inside(option: str) -> str:
    return f"/inputs/{option.lstrip('-')}.toml"


def _mounted(request: Request, info: dict[str, Any]) -> dict[str, Any]:
    """The bundle and the files, read-only, and the user who may read the bundle."""
    from docker.types import Mount

    folder = request.bundle.resolve()
    places = {INSIDE: folder}
    places |= {_inside(option): path.resolve() for option, path in request.files.items()}
    owner = folder.stat()
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
    user = "0:0" if rootless else f"{owner.st_uid}:{owner.st_gid}"
    mounts = [
        Mount(target, str(source), type="bind", read_only=True) for target, source in places.items()
    ]
    return {"mounts": mounts, "user": user}


def _confined(limits: Limits) -> dict[str, Any]:
    """What every container here has, and the limits: as compose.yaml has them."""
    found: dict[str, Any] = {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": {"/tmp": "size=64m,mode=1777"},
        "pids_limit": 128,
    }
    if limits.memory is not None:
        found |= {"mem_limit": limits.memory, "memswap_limit": limits.memory}
    if limits.cores is not None:
        found["nano_cpus"] = limits.cores * 1_000_000_000
    if limits.cpuset:
        found["cpuset_cpus"] = limits.cpuset
    return found


def _run(client: Any, image: Any, limits: Limits, options: dict[str, Any]) -> _Ended:
    """Run a container to its end; it is gone afterwards, whatever happens."""
    name = f"tinytx-bench-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        container = client.containers.create(image.id, name=name, **_confined(limits), **options)
        container.start()
        status = int(container.wait()["StatusCode"])
        container.reload()
        return _Ended(
            status=status,
            out=container.logs(stdout=True, stderr=False),
            errors=container.logs(stdout=False, stderr=True).decode("utf-8", "replace"),
            killed=bool(container.attrs["State"].get("OOMKilled")),
        )
    finally:
        _remove(client, name)


def _remove(client: Any, name: str) -> None:
    """Remove by name: an interrupt may come before the engine has answered."""
    from docker.errors import DockerException, NotFound

    try:
        client.containers.get(name).remove(force=True, v=True)
    except NotFound:
        pass
    except (DockerException, OSError) as error:
        logger.warning("the container %s could not be removed: %s", name, error)


def _prove(client: Any, image: Any, limits: Limits) -> LimitProof | None:
    """A canary in a container with the same limits: only its death shows that they bite."""
    if limits.memory is None:
        return None
    limit, wanted = limits.memory, int(limits.memory * BEYOND)
    if available() < wanted + RESERVE:
        reason = f"the canary needs {_mb(wanted + RESERVE)} of free memory, in case it survives"
        return LimitProof(False, limit, "", reason, "not run", "close other programs")
    command = ["-I", "-S", "-c", CANARY, str(wanted)]
    ended = _run(client, image, limits, {"entrypoint": ["python3"], "command": command})
    words = ended.out.split()
    touched = int(words[-1]) if words and words[-1].isdigit() else 0
    fate = f"touched {_mb(touched)} of {_mb(wanted)}"
    if ended.status == KILLED and touched < limit:
        mechanism = "the container, which holds the whole bench"
        return LimitProof(True, limit, mechanism, "", f"killed by the kernel: {fate}")
    if ended.status == 0:
        reason = "the engine took the limit and a process in the container got more and lived"
        remedy = "`tinytx doctor` says what this machine lacks for memory limits"
        return LimitProof(False, limit, "", reason, f"survived: {fate}", remedy)
    reason = f"the canary ended with {ended.status}: {_sentence(ended.errors)}"
    if ended.status == KILLED:
        reason = f"the canary was killed only after it had {_mb(touched)}, more than the limit"
    return LimitProof(False, limit, "", reason, f"ended with {ended.status}: {fate}")


def _read(ended: _Ended, image: str, limits: Limits) -> Report:
    """The report of a bench that came to its end; else what kept it from that."""
    if ended.status in VERDICTS and ended.out.strip():
        try:
            report = parse_report(ended.out, f"the output of {image}")
        except UsageError as error:
            raise PrerequisiteError(f"the image does not fit: {error.message}", BUILD) from error
        _check_version(report.tinytx, image)
        return report
    if ended.killed and ended.status == KILLED:
        raise MeasurementInvalid(
            f"the bench itself was killed at the limit of {_mb(limits.memory or 0)}, so nothing is "
            "proven: the limit holds the model and the bench's own process",
            "give a larger peak budget or device",
        )
    if ended.status == KILLED:
        raise MeasurementInvalid("the container was killed from outside; nothing was measured")
    said = _sentence(ended.errors)
    if "exec format error" in said.lower():
        raise PrerequisiteError(
            f"the image {image} is for another processor than this machine's, and no emulator runs "
            "it",
            BUILD,
        )
    if ended.status == UsageError.exit_code:
        raise PrerequisiteError(f"the image {image} does not know this bench: {said}", BUILD)
    kind = ERRORS.get(ended.status, TinytxError)
    raise kind(f"the bench in the container ended with {ended.status}: {said}")


def _sentence(errors: str) -> str:
    """What the program inside said last, without its name; the remedy below it belongs to it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    starts = [n for n, line in enumerate(lines) if line.startswith("tinytx: ")]
    told = " ".join(lines[starts[-1] :]) if starts else "".join(lines[-1:])
    return told.removeprefix("tinytx: ")[:500] or "it said nothing"


@contextmanager
def _engine_errors() -> Iterator[None]:
    """What the engine refuses, in one sentence."""
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        said = str(error.explanation or error)
        if "bind source path" in said or "mount" in said.lower():
            raise PrerequisiteError(
                f"the Docker engine cannot mount what the bench reads: {said}",
                "the engine must run on this machine and see these folders",
            ) from error
        raise PrerequisiteError(f"the Docker engine refused: {said}") from error
    except (DockerException, OSError) as error:
        raise PrerequisiteError(f"the Docker engine stopped answering: {error}") from error


def _mb(size: int) -> str:
    return str(Quantity.of(size, "MB"))
