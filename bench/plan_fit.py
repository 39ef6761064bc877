"""Fits the constants of ``tinytx/fit/steps.py`` to measured steps, and says how far it errs.

    python bench/plan_fit.py            # the constants, and predicted against measured

Reads ``bench/plan/steps.json``: sittings of ``bench/plan_steps.py``. The shapes of its HELD_OUT are
not used for the constants, and neither is any sitting that is marked as held out.
"""

import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from plan_steps import HELD_OUT, settings_of

from tinytx.fit.machine import Rates
from tinytx.fit.steps import CONSTANTS, Work, work

STEPS = Path(__file__).parent / "plan/steps.json"
TOWARDS_ONE = 0.02
"""How much a constant's distance from 1, squared, in logarithms, weighs against a step's error."""


class Step(NamedTuple):
    """A measured step, and what it is made of."""

    sitting: str
    shape: str
    work: Work
    seconds: float
    held_out: bool


def steps(document: Any) -> Iterator[Step]:
    """All measured steps of the sittings."""
    for sitting in document["sittings"]:
        rates = msgspec.convert(sitting["rates"], Rates, strict=False)
        for row in sitting["steps"]:
            held_out = row["shape"] in HELD_OUT or sitting.get("held_out", False)
            parts = work(settings_of(row["shape"], row["precision"]), rates)
            yield Step(sitting["name"], row["shape"], parts, row["seconds"], held_out)


def fit(known: list[Step]) -> Work:
    """Constants above 0 that predict the steps best: least squares of the logarithms."""
    parts = np.array([step.work for step in known])
    measured = np.log([step.seconds for step in known])
    logs = np.zeros(parts.shape[1])
    for _ in range(200):  # Gauss-Newton
        terms = parts * np.exp(logs)
        total = terms.sum(axis=1)
        errors = np.append(np.log(total) - measured, math.sqrt(TOWARDS_ONE) * logs)
        slopes = np.vstack([terms / total[:, None], math.sqrt(TOWARDS_ONE) * np.eye(len(logs))])
        logs -= np.linalg.lstsq(slopes, errors, rcond=None)[0]
    return Work(*(float(f"{value:.3g}") for value in np.exp(logs)))


def error(step: Step, constants: Work) -> float:
    """Predicted over measured, less 1."""
    predicted = sum(part * factor for part, factor in zip(step.work, constants, strict=True))
    return predicted / step.seconds - 1.0


def main() -> None:
    found = list(steps(json.loads(STEPS.read_text())))
    constants = fit([step for step in found if not step.held_out])
    print(f"fitted: {constants}\nin use: {CONSTANTS}\n")
    for step in found:
        parts = ", ".join(
            f"{name} {1e3 * part * factor:.1f}"
            for name, part, factor in zip(Work._fields, step.work, CONSTANTS, strict=True)
        )
        held = "held out" if step.held_out else ""
        print(
            f"{step.sitting:24} {step.shape:12} {1e3 * step.seconds:7.1f} ms "
            f"{error(step, CONSTANTS):+7.1%} {held:9} ({parts})"
        )
    for name, which in (("used", False), ("held out", True)):
        errors = [abs(error(step, CONSTANTS)) for step in found if step.held_out is which]
        if errors:
            median = statistics.median(errors)
            print(f"{name}: {len(errors)} steps, median {median:.1%}, largest {max(errors):.1%}")


if __name__ == "__main__":
    main()
