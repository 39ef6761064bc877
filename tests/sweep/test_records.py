"""The Pareto front, against its definition."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tinytx.sweep.records import Outcome, Record, front_of, pareto_front


@dataclass(frozen=True)
class Figures:
    bits_per_byte: float | None
    bytes: int | None
    next_token_ns: float | None


few = st.integers(0, 4)  # so that ties are common
points = st.lists(st.builds(Figures, few.map(float), few, few.map(float)), max_size=25)


def beats(a: Figures, b: Figures) -> bool:
    """The definition: nowhere worse and somewhere better."""
    pairs = [
        (a.bits_per_byte, b.bits_per_byte),
        (a.bytes, b.bytes),
        (a.next_token_ns, b.next_token_ns),
    ]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@given(points)
def test_the_front_holds_exactly_what_no_other_point_beats(given_points: list[Figures]) -> None:
    expected = [p for p in given_points if not any(beats(other, p) for other in given_points)]
    found = pareto_front(given_points)
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    qualities = [point.bits_per_byte for point in found]
    assert qualities == sorted(qualities)


@given(points, st.randoms())
def test_the_order_of_the_trials_does_not_matter(given_points: list[Figures], random) -> None:
    shuffled = list(given_points)
    random.shuffle(shuffled)
    assert sorted(map(repr, pareto_front(shuffled))) == sorted(
        map(repr, pareto_front(given_points))
    )


def test_only_complete_trials_with_all_figures_are_on_the_front() -> None:
    def record(number: int, outcome: Outcome, quality: float | None) -> Record:
        return Record(
            number=number, outcome=outcome, params={}, bytes=1, next_token_ns=1.0,
            bits_per_byte=quality,
        )  # fmt: skip

    records = [record(i, outcome, 0.1) for i, outcome in enumerate(Outcome)]
    assert [r.number for r in front_of(records)] == [0]
    assert front_of([record(0, Outcome.COMPLETE, None)]) == []
