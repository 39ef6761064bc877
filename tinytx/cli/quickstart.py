"""``tinytx quickstart``: the whole chain on the built-in corpus, ending with the verdicts."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import json_option, print_json, quiet_option, require

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.report import Report
    from tinytx.workspace import Workspace

EPOCHS = 5
SAMPLE_PROMPT = ""


@click.command(name="quickstart")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default="data/quickstart",
    show_default=True,
    help="Where everything is written.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=2),
    default=EPOCHS,
    show_default=True,
    help="Passes over the text.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model of another configuration.")
@json_option
@quiet_option
def command(output_dir: Path, epochs: int, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Train on the built-in stories, export, bench against the constitution, show a sample.

    A second run skips what is done. Exit code as of `tinytx bench`: 0, 7 or 8.

    \b
    Example:
      tinytx quickstart
    """
    require("quickstart", "torch", "onnx")
    from tinytx.cli.common import console
    from tinytx.cli.progress import make_reporter
    from tinytx.cli.run_training import run_asking
    from tinytx.config import load_settings
    from tinytx.export.exporter import export
    from tinytx.measure import report as reports
    from tinytx.train.job import Options
    from tinytx.train.pipeline import Pipeline
    from tinytx.workspace import Workspace

    space, people = Workspace(output_dir), console(quiet)
    settings = load_settings(flags={"training.epochs": epochs})
    with make_reporter(quiet) as reporter:
        options = Options(resume_if_possible=not overwrite, overwrite=overwrite)
        run_asking(Pipeline(settings, space, options, reporter))
    _title(people, "export")
    exported = export(space)
    done = "skipped: unchanged" if exported.skipped else f"parity proven, {space.bundle}"
    people.print(f"      {done}")
    _title(people, "bench")
    report = _bench(space, people)
    _title(people, "sample")
    text = _sample(space)
    people.print(text, style="italic", markup=False)
    from tinytx.cli.verdicts import print_verdicts

    print_verdicts(report, console(), details=False)
    people.print(f'\nnext: tinytx generate {space.bundle} "Once upon a time"', markup=False)
    if as_json:
        print_json(
            {"bundle": str(space.bundle), "sample": text, "report": reports.document(report)}
        )
    if error := reports.failure(report):
        raise error


def _title(people: "Console", name: str) -> None:
    people.print(f"[bold cyan]{name}[/]")


def _bench(space: "Workspace", people: "Console") -> "Report":
    """Bench the bundle, or show the report of this very bundle on this very machine again."""
    import platform

    from tinytx.bundle import Bundle
    from tinytx.cli.bench import bench_with_progress
    from tinytx.errors import MeasurementInvalid, UsageError, os_errors_as
    from tinytx.measure.bench import BenchSettings
    from tinytx.measure.budgets import Verdict, load_budgets, policy_file
    from tinytx.measure.machine import observe
    from tinytx.measure.outputs import Outputs
    from tinytx.measure.stored import read_report
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
            return report
    report = bench_with_progress(space.bundle, load_budgets(), BenchSettings(), people)
    with os_errors_as(MeasurementInvalid, "write the report"):
        Outputs(json=path, html=page).write(report)
        if report.verdict is not Verdict.INVALID:  # what was not proven is measured again
            stamp.write(here, inputs, [path])
    people.print(f"      measured in {report.seconds:.0f} s, {page}", markup=False)
    return report


def _sample(space: "Workspace") -> str:
    """A story from the bundle, the same one each time."""
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import generate
    from tinytx.runtime.sampling import Sampling

    engine = Engine.load(space.bundle)
    sampling = Sampling(temperature=0.8, seed=1)
    limit = engine.facts.max_seq_length
    pieces = generate(engine, SAMPLE_PROMPT, max_tokens=limit, sampling=sampling, stop="\n\n")
    return "".join(pieces).strip()
