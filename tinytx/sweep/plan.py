"""What a sweep is to do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinytx.config import Settings, as_dict, settings_from
from tinytx.measure.policy.budgets import Budget
from tinytx.sweep.space import Params, Space
from tinytx.train.corpus.source import input_hashes

Identity = dict[str, Any]
"""What makes two sweeps the same one; a change is named by its key."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to search, and for how long."""

    settings: Settings
    """Of every trial, but for what is searched."""
    space: Space
    budgets: Sequence[Budget]
    trials: int
    """To be trained, those of earlier calls included."""
    time_limit: float = math.inf
    """Seconds after which no further trial begins."""

    @property
    def searches_inputs(self) -> bool:
        """Whether trials differ in their text or tokenizer."""
        return any(key.startswith(("corpus.", "tokenizer.")) for key in self.space.dimensions)

    def identity(self) -> Identity:
        """Everything that the figures of the sweep depend on. Raises :class:`CorpusError`."""
        fixed = {
            f"{section}.{key}": value
            for section, values in as_dict(self.settings).items()
            for key, value in values.items()
        }
        searched = {key: f"searched in {d}" for key, d in self.space.dimensions.items()}
        limits = {
            f"budget {b.name}": f"{'<' if b.strict else '<='} {b.limit}" for b in self.budgets
        }
        files = {f"the file {k}": h for k, h in input_hashes(self.settings.corpus).items()}
        return {**fixed, **searched, **limits, **files}

    def settings_with(self, params: Params) -> Settings:
        """The settings of one trial. Raises :class:`UsageError` when they do not fit together."""
        plain = as_dict(self.settings)
        for key, value in params.items():
            section, _, name = key.partition(".")
            plain[section][name] = value
        return settings_from(plain, "the trial's settings")


def changed(theirs: Identity, ours: Identity) -> str:
    """The first point in which a stored sweep differs, or nothing.

    Both as they come back from JSON. A setting that it does not know came with a later version,
    and is no difference.
    """
    for key in sorted({*theirs, *ours}):
        if key not in theirs and " " not in key:
            continue
        before, now = theirs.get(key, "not there"), ours.get(key, "not there")
        if before != now and key.startswith("the file"):
            return f"{key} has changed"
        if before != now:
            return f"{key} was {before}, now it is {now}"
    return ""
