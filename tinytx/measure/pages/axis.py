"""From a figure to a place along an axis, linear or logarithmic, and the ticks between."""

import math
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
LEAST = 1e-12
"""What a logarithmic axis takes a zero or a negative figure for."""


@dataclass(frozen=True)
class Axis:
    """``low`` is at 0, ``high`` at 1; figures beyond them lie at the ends."""

    low: float
    high: float
    log: bool = False

    def at(self, figure: float) -> float:
        """The place of ``figure``: 0 to 1."""
        low, high, value = self.low, self.high, figure
        if self.log:
            low, high, value = (math.log10(max(one, LEAST)) for one in (low, high, figure))
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round figures on the axis, ``wanted`` or a few more or less."""
        return self._log_ticks(wanted) if self.log else self._linear_ticks(wanted)

    def _linear_ticks(self, wanted: int) -> list[float]:
        rough = (self.high - self.low) / max(wanted, 1)
        if not rough > 0.0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * one for one in STEPS if power * one >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _log_ticks(self, wanted: int) -> list[float]:
        """Powers of ten; with 2 and 5 between where these are few, every other where many."""
        low, high = math.log10(max(self.low, LEAST)), math.log10(max(self.high, LEAST))
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        if len(powers) >= max(wanted // 2, 2):
            return [10.0**power for power in powers[:: -(-len(powers) // (wanted + 1))]]
        near = range(math.floor(low), math.ceil(high) + 1)
        found = [one * 10.0**power for power in near for one in (1.0, 2.0, 5.0)]
        return [tick for tick in found if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def around(figures: list[float], room: float = 0.05) -> Axis:
    """A logarithmic axis that holds all ``figures`` (above 0), with some room at both ends."""
    known = [figure for figure in figures if figure > 0.0] or [1.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    margin = max((high - low) * room, 0.02)
    return Axis(10.0 ** (low - margin), 10.0 ** (high + margin), log=True)


def short(figure: float) -> str:
    """A tick's figure: no more digits than it needs."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"
