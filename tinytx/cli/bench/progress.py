"""The bench of a bundle, with a bar where people look on."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tinytx.measure.policy.budgets import Budget
    from tinytx.measure.record.report import Report
    from tinytx.measure.run.bench import BenchSettings


def bench_with_progress(
    bundle: Path, budgets: "list[Budget]", settings: "BenchSettings", people: "Console"
) -> "Report":
    """The bench, with a progress bar where ``people`` is a terminal."""
    from rich.progress import Progress as Bar

    from tinytx.measure.run.bench import Progress, run_bench

    if not people.is_terminal:
        return run_bench(bundle, budgets, settings)
    with Bar(console=people, transient=True) as bar:
        task = bar.add_task("bench", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, total=progress.total, completed=progress.done, description=progress.doing
            )

        return run_bench(bundle, budgets, settings, show)
