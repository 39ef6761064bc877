"""Measured once for the same facts; whatever lies in the cache, the answer is a valid one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.config import Settings
from tinytx.train import speed
from tinytx.train.others import Others
from tinytx.train.remembered import recall, remembered

NAMES = ("slow", "fast")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYTX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "training"


class Meter:
    """Answers, and counts how often it was asked."""

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.answer


def test_the_same_question_is_measured_once(cache: Path) -> None:
    meter = Meter("fast")
    for _ in range(3):
        assert remembered("pace", {"torch": "1"}, NAMES, meter) == "fast"
    assert meter.asked == 1
    assert len(list(cache.iterdir())) == 1


def test_what_was_measured_beside_a_busy_program_holds_for_this_time_only(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, used = Meter("slow"), [1.0, 0.1]
    monkeypatch.setattr(Others, "look", lambda _: used.pop(0))
    for _ in range(3):
        assert remembered("pace", {"torch": "1"}, NAMES, meter) == "slow"
    assert meter.asked == 2
    assert used == []


@pytest.mark.parametrize("facts", [{"torch": "2"}, {"torch": "1", "width": 8}, {}], ids=str)
def test_other_facts_are_measured_anew(facts: dict[str, object]) -> None:
    remembered("pace", {"torch": "1"}, NAMES, Meter("slow"))
    assert remembered("pace", facts, NAMES, Meter("fast")) == "fast"
    assert remembered("pace", {"torch": "1"}, NAMES, Meter("fast")) == "slow"


def test_what_is_known_is_recalled_and_nothing_else() -> None:
    assert recall("pace", {"torch": "1"}, NAMES) is None
    remembered("pace", {"torch": "1"}, NAMES, Meter("slow"))
    assert recall("pace", {"torch": "1"}, NAMES) == "slow"
    assert recall("pace", {"torch": "1"}, ("fast",)) is None
    assert recall("pace", {"torch": "2"}, NAMES) is None


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"slow"',
    b"\xff\xfe",
    b"[" * 90_000,
    b'{"answer": []}',
]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:12]))
def test_a_damaged_file_is_measured_again_and_mended(cache: Path, content: bytes) -> None:
    remembered("pace", {}, NAMES, Meter("slow"))
    (path,) = cache.iterdir()
    path.write_bytes(content)
    assert remembered("pace", {}, NAMES, Meter("fast")) == "fast"
    again = Meter("slow")
    assert remembered("pace", {}, NAMES, again) == "fast"
    assert again.asked == 0


def test_an_answer_that_is_none_of_the_choices_is_measured_again(cache: Path) -> None:
    remembered("pace", {}, ("odd",), Meter("odd"))
    assert remembered("pace", {}, NAMES, Meter("fast")) == "fast"


def test_without_a_cache_it_is_measured_each_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    meter = Meter("fast")
    assert [remembered("pace", {}, NAMES, meter) for _ in range(2)] == ["fast", "fast"]
    assert meter.asked == 2


def test_the_arithmetic_of_a_shape_is_measured_once(
    monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., Settings]
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(speed, "_product_seconds", lambda *shape: asked.append(shape) or 1.0)
    settings = make_settings(training__precision="auto")
    first = speed.choose_precision(settings)
    assert speed.choose_precision(settings) is first
    assert len(asked) == 2  # one in each arithmetic
    speed.choose_precision(make_settings(training__precision="auto", model__width=64))
    assert len(asked) == 4
