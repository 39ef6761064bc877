"""How hard a text is, by a compressor: known cases, and texts of any size."""

import random
from pathlib import Path

import pytest

from tinytx.fit import text as texts
from tinytx.fit.text import look_at


def two(folder: Path, train: bytes, val: bytes) -> tuple[Path, Path]:
    paths = folder / "train.txt", folder / "val.txt"
    for path, content in zip(paths, (train, val), strict=True):
        path.write_bytes(content)
    return paths


def test_random_bytes_take_eight_bits_and_what_was_seen_next_to_none(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(60_000)
    fresh = look_at(*two(tmp_path, noise[:30_000], noise[30_000:]))
    seen = look_at(*two(tmp_path, noise, noise[10_000:40_000]))
    assert fresh.difficulty == pytest.approx(8.0, rel=0.01)
    assert seen.difficulty < 0.3  # a match is at most 273 bytes long


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
    # of the 5,000 held-out bytes the first block holds 2,000; all of them would come to 0.3
    assert 8 * 3_000 / 5_000 <= found.difficulty < 6.0


def test_an_empty_held_out_text_has_a_difficulty_too(tmp_path: Path) -> None:
    assert look_at(*two(tmp_path, b"text", b"")).difficulty > 0
