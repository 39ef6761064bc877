import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.errors import UsageError
from tinytx.fit.times import asked, seconds_of, told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        (" 2m30s ", 150),
        ("1h1s", 3_601),
    ],
)
def test_a_time_is_hours_minutes_and_seconds_in_this_order(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "10 parsecs",
        "0",
        "0s",
        "-5m",
        "",
        "m",
        "10",
        "30m1h",
        "1h 30m",
        "1e3s",
        "inf",
        "nans",
        "5000h",
    ],
)
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        seconds_of(text)
    assert refused.value.exit_code == 64
    assert repr(text) in refused.value.message
    assert "write 90s" in refused.value.message or "at most 1,000 hours" in refused.value.message


@given(st.floats(0.001, 3.6e6))
def test_the_time_that_a_message_asks_for_is_one_that_is_read_and_is_enough(seconds: float) -> None:
    assert seconds_of(asked(seconds)) >= seconds


def test_times_are_told_as_people_write_them() -> None:
    assert [told(s) for s in (44.2, 119.0, 119.5, 570.0, 7_000.0)] == [
        *("45 s", "119 s", "2:00 min", "9:30 min", "1:57 h"),
    ]
