"""``tinytx quickstart``: the whole chain on the built-in corpus, ending with the verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import json_option, print_json, quiet_option, require
from tinytx.presets import PRESETS

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.workspace import Workspace

PRESET = PRESETS["quick"]
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
    default=PRESET.settings["training"]["epochs"],
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
    from tinytx.cli.bench.once import bench_once
    from tinytx.cli.common import console
    from tinytx.cli.progress import make_reporter
    from tinytx.cli.train.running import run_asking
    from tinytx.config import load_settings
    from tinytx.export.exporter import export
    from tinytx.measure.record import report as reports
    from tinytx.train.job import Options
    from tinytx.train.pipeline import Pipeline
    from tinytx.workspace import Workspace

    space, people = Workspace(output_dir), console(quiet)
    settings = load_settings(preset=PRESET.settings, flags={"training.epochs": epochs})
    with make_reporter(quiet) as reporter:
        options = Options(resume_if_possible=not overwrite, overwrite=overwrite)
        run_asking(Pipeline(settings, space, options, reporter))
    _title(people, "export")
    exported = export(space)
    done = "skipped: unchanged" if exported.skipped else f"parity proven, {space.bundle}"
    people.print(f"      {done}")
    _title(people, "bench")
    report, unwritten = bench_once(space, people)
    _title(people, "sample")
    text = _sample(space)
    people.print(text, style="italic", markup=False)
    from tinytx.cli.verdicts import ending, print_verdicts

    print_verdicts(report, console(), details=False)
    people.print(f'\nnext: tinytx generate {space.bundle} "Once upon a time"', markup=False)
    if as_json:
        print_json(
            {"bundle": str(space.bundle), "sample": text, "report": reports.document(report)}
        )
    if error := ending(report, unwritten):
        raise error


def _title(people: "Console", name: str) -> None:
    people.print(f"[bold cyan]{name}[/]")


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
