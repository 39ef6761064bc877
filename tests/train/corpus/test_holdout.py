"""Held-out blocks: nothing lost, nothing shared, in order, and as much as was asked for."""

import itertools
import math
import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.train.corpus import holdout
from tinytx.train.corpus.holdout import LARGEST_BLOCK, Copies

PARTS = [3_001]
"""Characters of a text that come at once in these tests."""


def in_parts(text: str) -> list[str]:
    return [text[i : i + PARTS[0]] for i in range(0, len(text), PARTS[0])]


def joined(blocks: Iterable[tuple[bool, str]]) -> tuple[str, str]:
    train, val = [], []
    for held, block in blocks:
        (val if held else train).append(block)
    return "".join(train), "".join(val)


def hold_out_blocks(text: str, fraction: float) -> tuple[str, str]:
    return joined(holdout.hold_out_blocks(lambda: in_parts(text), len(text), fraction))


def hold_out_end(text: str, fraction: float) -> tuple[str, str]:
    return joined(holdout.hold_out_end(in_parts(text), len(text), fraction))


def without_copies(train: str, val: str) -> tuple[str, int]:
    copies = Copies(in_parts(val))
    return "".join(copies.left_out(in_parts(train))), copies.found


FIRST = 0x3400  # characters from here on, each used once, tell where they came from


def numbered(length: int, newlines: set[int]) -> str:
    """A text in which every character but the newlines is unique."""
    return "".join("\n" if i in newlines else chr(FIRST + i) for i in range(length))


def owners(text: str, train: str, val: str) -> list[bool]:
    """For each character of the text but the newlines: whether it is held out."""
    seen_in_train, seen_in_val = set(train) - {"\n"}, set(val) - {"\n"}
    assert not seen_in_train & seen_in_val
    assert seen_in_train | seen_in_val == set(text) - {"\n"}
    return [c in seen_in_val for c in text if c != "\n"]


fractions = st.floats(0.01, 0.49)
lengths = st.integers(500, 20_000)


@settings(deadline=None, max_examples=60)
@given(lengths, fractions, st.sets(st.integers(0, 20_000), max_size=400))
def test_each_character_is_in_one_part_in_order_and_blocks_are_contiguous(
    length: int, fraction: float, newlines: set[int]
) -> None:
    text = numbered(length, newlines)
    train, val = hold_out_blocks(text, fraction)
    held = owners(text, train, val)
    assert len(train) + len(val) == len(text)
    assert train.count("\n") + val.count("\n") == text.count("\n")
    plain = [c for c in text if c != "\n"]
    for part, mine in ((train, False), (val, True)):
        expected = [c for c, is_held in zip(plain, held, strict=True) if is_held == mine]
        assert [c for c in part if c != "\n"] == expected
    runs = [len(list(group)) for _, group in itertools.groupby(held)]
    assert len(runs) <= 2 * (length // 200) + 2  # blocks of 200 characters at least
    assert val
    assert train


@settings(deadline=None, max_examples=30)
@given(st.text(st.sampled_from("ab\n é"), min_size=300, max_size=5_000), fractions)
def test_no_character_of_an_ordinary_text_is_lost_or_made_up(text: str, fraction: float) -> None:
    train, val = hold_out_blocks(text, fraction)
    assert sorted(train + val) == sorted(text)


@settings(deadline=None, max_examples=40)
@given(fractions, st.integers(0, 2**20))
def test_the_share_of_a_long_text_is_near_the_fraction(fraction: float, extra: int) -> None:
    text = "a line of forty characters, more or less\n" * ((1_000_000 + extra) // 41)
    _, val = hold_out_blocks(text, fraction)
    assert len(val) / len(text) == pytest.approx(fraction, rel=0.2)


def test_blocks_come_from_all_over_a_text_and_not_from_its_end() -> None:
    text = numbered(20_000, set())
    held = owners(text, *hold_out_blocks(text, 0.1))
    places = [i / len(held) for i, is_held in enumerate(held) if is_held]
    assert places[0] < 0.25
    assert places[-1] > 0.75
    assert len([1 for a, b in itertools.pairwise(held) if b and not a]) >= 3


def test_no_held_out_character_is_in_a_training_window() -> None:
    text = numbered(20_000, set(range(0, 20_000, 37)))
    train, val = hold_out_blocks(text, 0.1)
    hidden = set(val) - {"\n"}
    for start in range(0, len(train), 64):
        assert not hidden & set(train[start : start + 129])


def test_blocks_begin_after_a_newline_where_one_is_near() -> None:
    lines = [f"line {i} of a text whose lines are short" for i in range(3_000)]
    train, val = hold_out_blocks("\n".join(lines) + "\n", 0.1)
    assert sorted((train + val).splitlines()) == sorted(lines)  # no line was cut in two


def test_a_text_without_newlines_is_cut_as_well() -> None:
    train, val = hold_out_blocks("x" * 100_000, 0.2)
    assert len(val) == pytest.approx(20_000, rel=0.1)
    assert len(train) + len(val) == 100_000


def test_a_huge_text_has_blocks_of_a_bounded_size() -> None:
    text = "x" * (LARGEST_BLOCK * 60)
    _, val = hold_out_blocks(text, 0.1)
    assert len(val) == 6 * LARGEST_BLOCK


@pytest.mark.parametrize("fraction", [0.001, 0.02, 0.1, 0.49])
@pytest.mark.parametrize("length", [500, 667, 2_000])
def test_the_shortest_texts_have_both_parts(length: int, fraction: float) -> None:
    train, val = hold_out_blocks(numbered(length, {300}), fraction)
    assert len(val) >= 100
    assert len(train) >= 200


def test_the_end_of_a_text_is_split_off_at_the_character() -> None:
    assert hold_out_end("abcdefghij" * 10, 0.1) == ("abcdefghij" * 9, "abcdefghij")


paragraphs = st.lists(st.integers(0, 30), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(paragraphs, paragraphs, st.sampled_from(["\n\n", "\n \n", "\n\n\n"]))
def test_no_document_is_left_in_both_parts_and_no_other_is_lost(
    train: list[int], val: list[int], gap: str
) -> None:
    def text(numbers: list[int], end: str = "") -> str:
        return gap.join(f"Document {n}: " + f"word {n} " * 20 + end for n in numbers)

    kept, copies = without_copies(text(train), text(val, "  "))
    left = [n for n in train if n not in set(val)]
    assert copies == len(train) - len(left)
    found = [
        int(part.split(":")[0].split()[1])
        for part in kept.split("Document")[1:]
        for part in [f"Document{part}"]
    ]
    assert found == left
    if not copies:
        assert kept == text(train)


def test_short_paragraphs_may_recur() -> None:
    train, val = '"Yes," he said.\n\nAnd so on.', '"Yes," he said.\n\nNo.'
    assert without_copies(train, val) == (train, 0)


def whole_text_blocks(text: str, fraction: float) -> tuple[str, str]:
    """The split of a text that lies in memory whole: what each split must be, bit for bit."""
    period = max(2, round(1 / fraction))
    size = min(LARGEST_BLOCK, max(200, len(text) // (period * 4)))
    cuts = [0]
    while cuts[-1] < len(text):
        target = cuts[-1] + size
        cut = min(target, len(text))
        for end in ("\n\n", "\n"):
            found = text.find(end, target, target + size // 4)
            if target < len(text) and found >= 0:
                cut = found + len(end)
                break
        cuts.append(cut)
    blocks = [text[a:b] for a, b in itertools.pairwise(cuts)]
    due = [math.floor(i * fraction + 0.5) for i in range(len(blocks) + 1)]
    held = {i for i in range(len(blocks)) if due[i + 1] > due[i]} or {len(blocks) // 2}
    parts = ([b for i, b in enumerate(blocks) if (i in held) == mine] for mine in (False, True))
    train, val = ("".join(part) for part in parts)
    return train, val


def whole_text_without_copies(train: str, val: str) -> tuple[str, int]:
    def normal(paragraph: str) -> str:
        return "\n".join(line.strip() for line in paragraph.strip().splitlines())

    held = {normal(p) for p in re.split(r"\n[ \t]*\n", val)}
    held = {p for p in held if len(p) >= holdout.SHORTEST_DOCUMENT}
    pieces = re.split(r"(\n[ \t]*\n\s*)", train)
    kept, copies = [], 0
    for i in range(0, len(pieces), 2):
        if normal(pieces[i]) in held:
            copies += 1
        else:
            kept += pieces[i : i + 2]
    return "".join(kept), copies


texts = st.text(st.sampled_from("ab\n\n\n \t\r\u00a0\u2028é"), min_size=200, max_size=4_000)


@settings(deadline=None, max_examples=150)
@given(texts, fractions, st.integers(1, 700))
def test_parts_of_any_size_give_the_split_of_the_whole_text(
    text: str, fraction: float, size: int
) -> None:
    PARTS[0] = size
    assert hold_out_blocks(text, fraction) == whole_text_blocks(text, fraction)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 500))
def test_parts_of_any_size_lose_the_same_copies_as_the_whole_text(
    data: st.DataObject, size: int
) -> None:
    PARTS[0] = size
    documents = [f"Document {n}: " + f"word {n} \n" * 20 for n in range(6)] + ["short", " \n "]
    gaps = st.sampled_from(["\n\n", "\n \n", "\n\n\n\t\n", "\n\t\n\u00a0 \n  ", "\n"])
    made = st.lists(st.tuples(st.sampled_from(documents), gaps), max_size=12)
    train, val = ("".join(d + g for d, g in data.draw(made)) for _ in range(2))
    assert without_copies(train, val) == whole_text_without_copies(train, val)


def test_a_paragraph_without_an_end_is_not_gathered_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holdout, "LONGEST_DOCUMENT", 1_000)
    text = "no end " * 3_000
    copies = Copies([text])
    longest = max(map(len, copies.left_out(text[i : i + 100] for i in range(0, len(text), 100))))
    assert longest <= 1_100
    assert "".join(Copies([]).left_out([text])) == text
