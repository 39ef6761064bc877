"""Series over stored reports: who is compared with whom, in which order."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.measure.compare.history import BARS, change, measured, read_history, sparkline

STORED = Path(__file__).parents[2] / "fixtures" / "report-1.json"
Store = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Stores a report with some facts of the machine, the settings or itself changed."""

    def write(name: str, machine: dict[str, Any] | None = None, **changes: Any) -> None:
        plain = json.loads(STORED.read_bytes())
        plain["settings"]["processes"]["threads"] = changes.pop("threads", 1)
        plain["machine"]["before"] |= machine or {}
        (tmp_path / f"{name}.json").write_text(json.dumps({**plain, **changes}))

    return write


def test_machines_and_threads_are_never_on_one_line(tmp_path: Path, store: Store) -> None:
    store("a")
    store("b", {"processor": "Cortex-A72", "device": "Raspberry Pi 4"})
    store("c", {"usable_cores": 1})
    store("d", threads=2)
    store("e", {"emulation": ["qemu"]})
    store("f")
    series = read_history(tmp_path).series
    assert sorted(len(one.points) for one in series) == [1, 1, 1, 1, 2]
    told = {one.machine for one in series}
    assert "Raspberry Pi 4 (Cortex-A72), x86_64, 2 of 2 cores, 1 thread, float32" in told
    assert "AMD EPYC, x86_64, 2 of 2 cores, 2 threads, float32" in told
    assert "AMD EPYC, x86_64, 2 of 2 cores, 1 thread, float32, emulated" in told


def test_bare_reports_and_those_of_containers_are_never_on_one_line(
    tmp_path: Path, store: Store
) -> None:
    store("a")
    store("b", {"container": "Docker", "group_limit": 512_000_000, "cpu_quota": 1.0})
    store("c", {"cpu_quota": 0.5})
    limits = {"memory": 512_000_000}
    facts = {"engine": "Docker 26", "image": "tinytx:runtime", "image_id": "x", "limits": limits}
    store("d", container=facts)
    bare = "AMD EPYC, x86_64, 2 of 2 cores, 1 thread, float32"
    assert {one.machine for one in read_history(tmp_path).series} == {
        bare,
        f"{bare}, in a container, at most 512 MB, a quota of 1 core",
        f"{bare}, a quota of 0.5 cores",
        f"{bare}, in a container, at most 512 MB",
    }


def test_two_boards_in_containers_are_two_machines(tmp_path: Path, store: Store) -> None:
    store("a", {"device": "Raspberry Pi 4", "container": "Docker"})
    store("b", {"device": "Raspberry Pi 5", "container": "Docker"})
    assert len(read_history(tmp_path).series) == 2


def test_reports_come_in_the_order_of_their_dates_not_of_their_names(
    tmp_path: Path, store: Store
) -> None:
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        store(name, started_at=f"2026-01-0{day}T00:00:00+00:00")
    (series,) = read_history(tmp_path).series
    assert [point.file for point in series.points] == ["b.json", "c.json", "a.json"]


def test_moments_are_compared_as_moments_whatever_their_zone_and_what_is_none_comes_first(
    tmp_path: Path, store: Store
) -> None:
    store("a", started_at="2026-01-02T01:00:00+05:00")  # 20:00 of the day before, in UTC
    store("b", started_at="2026-01-01T23:00:00Z")
    store("c", started_at="2026-01-01T21:00:00")  # no zone: UTC
    store("d", started_at="yesterday")
    (series,) = read_history(tmp_path).series
    assert [point.file for point in series.points] == ["d.json", "a.json", "c.json", "b.json"]
    assert [point.date for point in series.points] == ["no date", *["2026-01-01"] * 3]


def test_a_machine_of_one_core_has_one_core(tmp_path: Path, store: Store) -> None:
    store("a", {"cores": 1, "usable_cores": 1})
    (series,) = read_history(tmp_path).series
    assert series.machine == "AMD EPYC, x86_64, 1 of 1 core, 1 thread, float32"


def test_a_budget_that_some_reports_lack_has_gaps(tmp_path: Path, store: Store) -> None:
    rows = json.loads(STORED.read_bytes())["budgets"]
    store("a", budgets=rows[:1])
    store("b", budgets=rows[1:3])
    (series,) = read_history(tmp_path).series
    assert series.budgets == ["rss", "peak_memory", "next_token_p95"]
    assert measured(series, "rss") == [82_882_560.0, None]
    assert measured(series, "peak_memory")[0] is None


@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=30))
def test_a_sparkline_has_a_sign_per_value_and_higher_is_never_lower(
    values: list[float | None],
) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    pairs = sorted((v, BARS.index(s)) for v, s in zip(values, line, strict=True) if v is not None)
    assert [bar for _, bar in pairs] == sorted(bar for _, bar in pairs)
    assert all((value is None) == (sign == "·") for value, sign in zip(values, line, strict=True))


def test_noise_looks_flat_and_a_change_does_not() -> None:
    assert len(set(sparkline([100.0, 100.9, 100.3]))) == 1
    assert sparkline([100.0, 200.0]) == "▁█"


def test_the_change_is_against_the_last_known_figure() -> None:
    assert change([2.0, None, 3.0]) == 0.5
    assert change([2.0]) is None
    assert change([0.0, 1.0]) is None
