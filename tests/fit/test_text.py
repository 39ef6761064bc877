"""How hard a text is: computed by hand and by a slow count, known cases, texts of any size."""

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytx.fit import text as texts
from tinytx.fit.text import bits_by_frequency, look_at


def two(folder: Path, train: bytes, val: bytes) -> tuple[Path, Path]:
    paths = folder / "train.txt", folder / "val.txt"
    for path, content in zip(paths, (train, val), strict=True):
        path.write_bytes(content)
    return paths


def test_random_bytes_take_eight_bits_and_what_was_seen_next_to_none(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(60_000)
    fresh = look_at(*two(tmp_path, noise[:30_000], noise[30_000:]))
    seen = look_at(*two(tmp_path, noise, noise[10_000:40_000]))
    assert 8.0 < fresh.difficulty < 9.0  # contexts that came by chance are believed a little
    assert seen.difficulty < 1.1  # a context that came once is believed by half


def test_by_hand() -> None:
    # after "abab": a and b twice each, b always after a; "ba" came once, and a after it never
    no_context = (2 + 2 / 256) / (4 + 2)
    after_a = (2 + 1 * no_context) / (2 + 1)
    assert bits_by_frequency(b"abab", b"ab") == pytest.approx(
        -(math.log2(no_context) + math.log2(after_a)) / 2
    )
    assert bits_by_frequency(b"", b"") == 0.0
    assert bits_by_frequency(b"", b"ab") == 8.0


@given(seen=st.binary(max_size=60), held_out=st.binary(min_size=1, max_size=30))
def test_it_agrees_with_a_count_in_plain_python(seen: bytes, held_out: bytes) -> None:
    def probability(context: bytes, byte: int) -> float:
        shorter = probability(context[1:], byte) if context else 1 / 256
        length = len(context) + 1
        after = [
            seen[place + length - 1]
            for place in range(len(seen) - length + 1)
            if seen.startswith(context, place)
        ]
        if not after:
            return shorter
        kinds = len(set(after))
        return (after.count(byte) + kinds * shorter) / (len(after) + kinds)

    slow = [
        -math.log2(probability(held_out[max(0, place - texts.ORDER) : place], byte))
        for place, byte in enumerate(held_out)
    ]
    assert bits_by_frequency(seen, held_out) == pytest.approx(sum(slow) / len(slow))


def test_names_that_only_the_held_out_text_has_are_not_learned_from_it(tmp_path: Path) -> None:
    """A compressor would copy them from the text before."""
    draw = random.Random(4)

    def speeches(names: list[str]) -> bytes:
        return "".join(f"{draw.choice(names)}: so it is.\n" for _ in range(2_000)).encode()

    known, unknown = ["GREMIO", "TRANIO"], ["PETRUCHIO", "BAPTISTA"]
    same = look_at(*two(tmp_path, speeches(known), speeches(known))).difficulty
    other = look_at(*two(tmp_path, speeches(known), speeches(unknown))).difficulty
    assert other > same + 1.0


def test_words_of_a_small_stock_are_easier_than_those_of_a_large_one(tmp_path: Path) -> None:
    draw = random.Random(2)
    stock = ["".join(draw.choices("abcdefghij", k=7)) for _ in range(5_000)]

    def difficulty(words: list[str]) -> float:
        lines = " ".join(draw.choices(words, k=40_000)).encode()
        return look_at(*two(tmp_path, lines[:250_000], lines[250_000:])).difficulty

    assert difficulty(stock[:50]) < 0.7 * difficulty(stock)


def test_of_a_large_text_only_blocks_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "SAMPLE_BYTES", 32_000)
    noise = random.Random(3).randbytes(100_000)
    found = look_at(*two(tmp_path, noise, noise[:5_000]))
    assert (found.train_bytes, found.sampled_bytes) == (100_000, 32_000)
    # of the 5,000 held-out bytes the first block holds 2,000
    assert 0.6 * 8 <= found.difficulty < 8.0


def test_an_empty_held_out_text_has_a_difficulty_too(tmp_path: Path) -> None:
    assert look_at(*two(tmp_path, b"text", b"")).difficulty > 0
