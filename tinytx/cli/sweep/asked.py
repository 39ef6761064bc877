"""What a command line of ``tinytx sweep`` asks for, as a plan."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytx.cli.settings.options import given, settings_of
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.sweep.plan import Plan
    from tinytx.sweep.shared.terms import Terms
    from tinytx.sweep.space import Space

UNITS = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The flags, as click has them."""

    searched: tuple[str, ...]
    preset: str
    config: Path | None
    assignments: tuple[str, ...]
    flags: dict[str, Any]
    budgets: Path | None
    trials: int
    time_limit: str | None

    def plan(self) -> "Plan":
        """Raises :class:`UsageError`."""
        from tinytx.measure.policy.budgets import load_budgets
        from tinytx.sweep.plan import Plan
        from tinytx.sweep.space import load_space

        space = load_space(self.searched, self.config)
        self._refuse_both(space)
        settings = settings_of(
            self.preset, self.config, self.assignments, self.flags, searching=True
        )
        return Plan(
            settings=settings,
            space=space,
            budgets=load_budgets(self.budgets),
            trials=self.trials,
            time_limit=self._seconds(),
        )

    def plan_under(self, terms: "Terms", trials: int) -> "Plan":
        """The plan of a search that another worker began; what is given besides must agree."""
        from tinytx.config import read_config
        from tinytx.measure.policy.budgets import load_budgets
        from tinytx.sweep.plan import Plan
        from tinytx.sweep.shared.terms import check_places, space_of
        from tinytx.sweep.space import load_space

        own = self.searched or (self.config is not None and "search" in read_config(self.config))
        space = load_space(self.searched, self.config) if own else space_of(terms)
        self._refuse_both(space)
        settings = settings_of(
            self.preset,
            self.config,
            self.assignments,
            self.flags,
            searching=True,
            base=terms.settings,
        )
        check_places(settings)
        return Plan(
            settings=settings,
            space=space,
            budgets=terms.budgets if self.budgets is None else load_budgets(self.budgets),
            trials=trials,
            time_limit=self._seconds(),
        )

    def _refuse_both(self, space: "Space") -> None:
        fixed = {*given(self.flags), *(text.partition("=")[0].strip() for text in self.assignments)}
        if both := sorted(fixed & space.dimensions.keys()):
            raise UsageError(f"{both[0]} is searched and set: give one")

    def _seconds(self) -> float:
        return math.inf if self.time_limit is None else seconds(self.time_limit)


def seconds(text: str, flag: str = "--time-limit") -> float:
    """``90s``, ``30m`` or ``2h`` in seconds. Raises :class:`UsageError`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"{flag} {text!r} is no time; write 90s, 30m or 2h")
    return float(match[1]) * UNITS[match[2]]
