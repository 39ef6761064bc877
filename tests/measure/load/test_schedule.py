"""When requests are due."""

import math

import pytest

from tinytx.errors import UsageError
from tinytx.measure.load.schedule import check_rates, schedule


def test_a_schedule_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert schedule(20.0, 50, 1) == schedule(20.0, 50, 1)
    assert schedule(20.0, 50, 1) != schedule(20.0, 50, 2)


def test_requests_come_in_order_and_at_the_rate_with_exponential_gaps() -> None:
    dues = [arrival.due for arrival in schedule(20.0, 4_000, 1)]
    gaps = [b - a for a, b in zip([0.0, *dues], dues, strict=False)]
    assert min(gaps) > 0.0
    mean = sum(gaps) / len(gaps)
    assert math.isclose(mean, 1 / 20.0, rel_tol=0.1)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert math.isclose(spread, mean, rel_tol=0.1)  # what makes them exponential


@pytest.mark.parametrize(
    "rates", [(), (0.0,), (-1.0,), (5.0, 5.0), (math.nan,), (math.inf,), (1e6,)]
)
def test_rates_that_no_client_keeps_are_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="--rates"):
        check_rates(rates)
