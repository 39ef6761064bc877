"""Training a tokenizer: what a text supports, determinism, and interruption."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytx.config import TokenizerSettings
from tinytx.errors import TokenizerError
from tinytx.tokenizer import Tokenizer
from tinytx.train import tokenizing
from tinytx.train.tokenizing import train_tokenizer


def train(text: Path, size: int, target: Path) -> Tokenizer:
    train_tokenizer(text, TokenizerSettings(vocab_size=size), target)
    return Tokenizer.load(target)


def test_the_tokenizer_has_the_size_that_was_asked_for_and_keeps_every_text(
    story_file: Path, tokenizer: Tokenizer
) -> None:
    assert tokenizer.vocab_size == 320
    for text in (story_file.read_text(encoding="utf-8"), "ÿ 漢字 \x01 never seen 🦜\n\n\t", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_vocabulary_that_is_too_large_is_refused_with_a_number_that_works(
    story_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "tokenizer.model"
    target.write_bytes(b"the old one")
    with pytest.raises(TokenizerError, match="20000 is larger than this text supports") as caught:
        train(story_file, 20_000, target)
    assert target.read_bytes() == b"the old one"
    (named,) = re.findall(r"--vocab-size (\d+) or less", caught.value.message)
    assert train(story_file, int(named), target).vocab_size == int(named)
    with pytest.raises(TokenizerError):  # and it is the largest that does
        train(story_file, int(named) + 1, target)


def test_a_vocabulary_without_room_for_the_characters_is_refused_with_a_number_that_works(
    tmp_path: Path,
) -> None:
    text = tmp_path / "text"
    signs = [chr(0x4E00 + i) for i in range(600)]
    text.write_text("\n".join("".join(signs[i : i + 30]) * 2 for i in range(570)))
    with pytest.raises(TokenizerError, match="320 has no room for the characters") as caught:
        train(text, 320, tmp_path / "t.model")
    (named,) = re.findall(r"--vocab-size (\d+) or more", caught.value.message)
    assert train(text, int(named), tmp_path / "t.model").vocab_size == int(named)


def test_a_text_without_a_single_space_gives_a_tokenizer_that_keeps_spaces(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("\n".join(f"天地玄黄宇宙洪荒{i}日月盈昃{i * i}" for i in range(800)))
    made = train(text, 300, tmp_path / "t.model")
    assert made.decode(made.encode(" 天 地  \n ")) == " 天 地  \n "


def test_a_text_that_supports_no_allowed_vocabulary_is_not_told_to_use_a_smaller_one(
    tmp_path: Path,
) -> None:
    text = tmp_path / "text"
    text.write_text("hello world\n" * 30)
    with pytest.raises(TokenizerError, match="text is too short") as caught:
        train(text, 320, tmp_path / "t.model")
    assert "--vocab-size" not in caught.value.message
    assert not (tmp_path / "t.model").exists()


def test_the_smallest_vocabulary_here_is_the_smallest_that_the_settings_allow() -> None:
    assert TokenizerSettings.__annotations__["vocab_size"].__metadata__[0].ge == tokenizing.SMALLEST


def test_two_trainings_give_identical_bytes(story_file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(story_file, 320, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_two_trainings_on_a_sample_of_a_larger_text_give_identical_bytes(
    story_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(story_file, 310, tmp_path / "whole")
    monkeypatch.setattr(tokenizing, "SENTENCES", 300)
    for name in ("one", "two"):
        train(story_file, 310, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "whole").read_bytes()


def test_a_text_of_one_endless_line_is_cut_and_not_dropped(
    story_file: Path, tmp_path: Path
) -> None:
    text = tmp_path / "line"
    text.write_text(story_file.read_text(encoding="utf-8").replace("\n", " "), encoding="utf-8")
    made = train(text, 310, tmp_path / "t.model")
    pieces = {piece.strip() for piece in made.piece_bytes}
    assert b"whistling" in pieces


def test_ctrl_c_while_sentences_are_read_is_an_interruption_and_no_tokenizer_error(
    story_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(text_file: Path) -> Iterator[str]:
        yield "one sentence"
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenizing, "_sentences", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(story_file, 320, tmp_path / "t.model")
    assert not (tmp_path / "t.model").exists()
