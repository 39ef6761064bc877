"""The statistics behind the figures of the images."""

import math
import random
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.parametrize("count", [8, 24])
def test_the_interval_of_the_median_holds_it_19_times_in_20(
    script: Callable[[str], ModuleType], count: int
) -> None:
    middle, source, held = script("figures").middle, random.Random(1), 0
    for _ in range(2_000):
        median, low, high = middle([source.gauss(1.0, 0.1) for _ in range(count)])
        assert low <= median <= high
        held += low <= 1.0 <= high
    assert held / 2_000 > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 2_000)


def test_the_interval_of_24_rounds_leaves_six_on_each_side(
    script: Callable[[str], ModuleType],
) -> None:
    assert script("figures").middle([float(n) for n in range(24)]) == (11.5, 6.0, 17.0)
