"""``tinytx bench --container``: the flags, and the bench in the project's runtime image."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytx.cli.common import F
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.policy.budgets import Budget
    from tinytx.measure.record.report import Report
    from tinytx.measure.run.bench import BenchSettings
    from tinytx.measure.run.container import Request

IMAGE = "tinytx:runtime"


def container_options(function: F) -> F:
    """Give a command --container and --image."""
    image = click.option(
        "--image", metavar="NAME", help=f"With --container: which image. [default: {IMAGE}]"
    )
    contained = click.option(
        "--container",
        "in_container",
        is_flag=True,
        help="Measure in a Docker container that has the device's cores and memory.",
    )
    return contained(image(function))


def check_flags(flags: dict[str, Any]) -> None:
    """Raise :class:`UsageError` for --image alone."""
    if flags["image"] is not None and not flags["in_container"]:
        raise UsageError("--image goes with --container only", "add --container, or leave it out")


def bench_contained(
    bundle: Path,
    budgets: "list[Budget]",
    settings: "BenchSettings",
    flags: dict[str, Any],
    people: "Console",
) -> "Report":
    """The bench in a container, with a sign of life where ``people`` is a terminal."""
    from tinytx.measure.run.container import bench_in_container

    request = _request(bundle, settings, flags)
    if not people.is_terminal:
        return bench_in_container(request, budgets, settings.device)
    with people.status("measuring in a container"):
        return bench_in_container(request, budgets, settings.device)


def _request(bundle: Path, settings: "BenchSettings", flags: dict[str, Any]) -> "Request":
    """The flags for the bench inside. Policies go in as files, so that both sides have the same."""
    from tinytx.measure.policy.budgets import budget_file, policy_file
    from tinytx.measure.policy.devices import device_file
    from tinytx.measure.policy.scenarios import SCENARIOS
    from tinytx.measure.run.container import Request

    options = ["--time-limit", f"{settings.time_limit:g}"]
    if settings.threads is not None:
        options += ["--threads", str(settings.threads)]
    if settings.precision is not None:
        options += ["--precision", settings.precision]
    if settings.why:
        options.append("--why")
    files = {
        "--budgets": budget_file(flags["budget_file"]),
        "--scenarios": flags["scenario_file"] or policy_file(SCENARIOS),
    }
    if flags["device"] is not None:
        files["--device"] = device_file(flags["device"])
    return Request(bundle, flags["image"] or IMAGE, tuple(options), files)
