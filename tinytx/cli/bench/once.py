"""The bench of ``tinytx quickstart``: what was proven of this bundle here is not measured again."""

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.errors import TinytxError
    from tinytx.measure.record.report import Report
    from tinytx.workspace import Workspace


def bench_once(space: "Workspace", people: "Console") -> "tuple[Report, TinytxError | None]":
    """Bench the bundle, or take the report of this very bundle on this very machine again.

    With the report comes why it could not be written, if so: it was measured all the same.
    """
    import platform

    from tinytx.bundle import Bundle
    from tinytx.cli.bench.progress import bench_with_progress
    from tinytx.errors import UsageError, os_errors_as
    from tinytx.measure.machine.facts import observe
    from tinytx.measure.pages.outputs import Outputs
    from tinytx.measure.policy.budgets import Verdict, load_budgets, policy_file
    from tinytx.measure.record.reading import read_report
    from tinytx.measure.run.bench import BenchSettings
    from tinytx.workspace import sha256_file

    path, page = space.root / "report.json", space.root / "report.html"
    stamp, seen = space.stamp("bench"), observe()
    inputs = {
        "bundle": Bundle(space.bundle).id,
        "budgets": sha256_file(policy_file("budgets/constitution.toml")),
        "scenarios": sha256_file(policy_file("scenarios.toml")),
    }
    here = {
        "processor": seen.processor,
        "node": platform.node(),
        "system": platform.release(),
        "versions": seen.versions,
    }
    if stamp.matches(here, inputs):
        with suppress(UsageError):  # a report of another version: measure again
            report = read_report(path)
            people.print("      skipped: this bundle was measured on this machine")
            return report, None
    report = bench_with_progress(space.bundle, load_budgets(), BenchSettings(), people)
    told = f"      measured in {report.seconds:.0f} s"
    try:
        with os_errors_as(UsageError, "write the report"):
            Outputs(json=path, html=page).write(report)
            if report.verdict is not Verdict.INVALID:  # what was not proven is measured again
                stamp.write(here, inputs, [path])
    except UsageError as unwritten:
        people.print(told)
        return report, unwritten
    people.print(f"{told}, {page}", markup=False)
    return report, None
