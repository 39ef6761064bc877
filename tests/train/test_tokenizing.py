"""Training a tokenizer: what a text supports, determinism, and interruption."""

import math
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
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


def chinese(signs: int, lines: int) -> str:
    """Lines of words of one to three signs, the first ones much more frequent."""
    source = random.Random(5)
    known = [chr(0x4E00 + i) for i in range(signs)]
    weights = [1 / (i + 50) for i in range(signs)]
    words = ["".join(source.choices(known, weights, k=source.randint(1, 3))) for _ in range(6_000)]
    return "\n".join("".join(source.choices(words, k=12)) + "。" for _ in range(lines))


def korean(lines: int) -> str:
    source = random.Random(6)
    known = [chr(0xAC00 + i) for i in range(2_400)]
    words = ["".join(source.choices(known, k=2)) for _ in range(3_000)]
    return "\n".join(" ".join(source.choices(words, k=6)) + "." for _ in range(lines))


@pytest.mark.parametrize("text", [chinese(4_000, 6_000), korean(3_000)], ids=["zh", "ko"])
@pytest.mark.parametrize("size", [300, TokenizerSettings().vocab_size])
def test_a_script_with_more_characters_than_pieces_is_trained_on_told_and_lossless(
    tmp_path: Path, text: str, size: int
) -> None:
    path, told = tmp_path / "text", list[str]()
    path.write_text(text, encoding="utf-8")
    train_tokenizer(path, TokenizerSettings(vocab_size=size), tmp_path / "t.model", told.append)
    made = Tokenizer.load(tmp_path / "t.model")
    assert made.vocab_size == size
    assert made.decode(made.encode(text)) == text
    (sentence,) = told
    numbers = re.findall(r"[\d,.]+(?= )", sentence)
    assert int(numbers[0].replace(",", "")) == len(set(text) - {"\n"})
    kept, share = int(numbers[1].replace(",", "")), float(numbers[2])
    counts = Counter(text.replace("\n", ""))
    expected = sum(n for _, n in counts.most_common(kept)) / counts.total()
    assert share == pytest.approx(100 * expected, abs=0.06)
    singles = {piece.decode() for piece in made.piece_bytes if len(piece) == 3}
    assert len(singles & set(text)) >= kept - 2


def test_a_text_of_signs_without_words_fills_the_vocabulary_with_signs(tmp_path: Path) -> None:
    source = random.Random(7)
    signs = [chr(0x4E00 + i) for i in range(600)]
    text = "\n".join("".join(source.choices(signs, k=20)) for _ in range(500))
    path, told = tmp_path / "text", list[str]()
    path.write_text(text, encoding="utf-8")
    train_tokenizer(path, TokenizerSettings(vocab_size=320), tmp_path / "t.model", told.append)
    made = Tokenizer.load(tmp_path / "t.model")
    assert made.decode(made.encode(text)) == text
    assert "the 61 most frequent" in told[0]  # 320 less 256 bytes, newline, unknown and space


def test_a_text_whose_characters_fit_is_not_remarked_upon(story_file: Path, tmp_path: Path) -> None:
    told: list[str] = []
    settings = TokenizerSettings(vocab_size=320)
    train_tokenizer(story_file, settings, tmp_path / "t.model", told.append)
    assert told == []


def test_a_line_with_the_character_that_sentencepiece_reserves_is_learned_from(
    story_file: Path, tmp_path: Path
) -> None:
    text, told = tmp_path / "text", list[str]()
    lines = "▅zxyzqj▅ wandered▅home\n" * 400
    settings, models = TokenizerSettings(vocab_size=320), []
    for mark in ("▅", "\n"):  # the reserved character and a newline both end a sentence
        story = story_file.read_text(encoding="utf-8")
        text.write_text(story + lines.replace("▅", mark), encoding="utf-8")
        train_tokenizer(text, settings, tmp_path / "t.model", told.append)
        models.append((tmp_path / "t.model").read_bytes())
    assert models[0] == models[1]
    made = Tokenizer(models[0])
    assert made.decode(made.encode(lines)) == lines
    assert len(made.encode("▅")) == 3
    assert told == [
        "the text holds U+2585 (▅) 1,200 times: the tokenizer reserves it, so it has no piece of "
        "its own and is written as its three bytes"
    ]


def test_the_one_character_that_does_not_come_back_is_told(
    story_file: Path, tmp_path: Path
) -> None:
    text, told = tmp_path / "text", list[str]()
    text.write_text(story_file.read_text(encoding="utf-8") + "a▁b▁\n" * 3, encoding="utf-8")
    train_tokenizer(text, TokenizerSettings(vocab_size=320), tmp_path / "t.model", told.append)
    made = Tokenizer.load(tmp_path / "t.model")
    assert made.decode(made.encode("a▁b")) == "a b"
    assert told == [
        "the text holds U+2581 (▁) 6 times: it is the tokenizer's own mark for a space, and comes "
        "back as a space"
    ]


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


IN_A_PROCESS = """
import sys
from pathlib import Path
from tinytx.config import TokenizerSettings
from tinytx.train import tokenizing
text, target, most = sys.argv[1:]
tokenizing.SENTENCES = int(most)
tokenizing.train_tokenizer(Path(text), TokenizerSettings(vocab_size=310), Path(target))
"""


def test_two_processes_that_train_on_a_sample_of_a_larger_text_give_identical_bytes(
    story_file: Path, tmp_path: Path
) -> None:
    for name, most in (("one", 300), ("two", 300), ("three", 300), ("whole", 10**6)):
        command = [sys.executable, "-c", IN_A_PROCESS, story_file, tmp_path / name, str(most)]
        subprocess.run(command, check=True)
    one, two, three, whole = (
        (tmp_path / name).read_bytes() for name in ("one", "two", "three", "whole")
    )
    assert one == two == three
    assert one != whole


def test_a_sample_has_the_size_and_order_and_no_sentence_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"{i}\n" for i in range(1_000)))
    drawn: Counter[int] = Counter()
    monkeypatch.setattr(tokenizing, "SENTENCES", 100)
    for seed in range(400):
        monkeypatch.setattr(tokenizing, "SAMPLE_SEED", seed)
        sample = [int(line) for line in tokenizing._sample(text, tokenizing._survey(text))]
        assert len(sample) == 100
        assert sample == sorted(set(sample))
        drawn.update(sample)
    # 40 of 400 expected of each, with a deviation of 6
    assert min(drawn[i] for i in range(1_000)) > 40 - 5 * 6
    assert max(drawn.values()) < 40 + 5 * 6
    monkeypatch.setattr(tokenizing, "SENTENCES", 1_000)
    assert len(list(tokenizing._sample(text, tokenizing._survey(text)))) == 1_000


def test_a_text_of_long_lines_is_sampled_by_its_characters_and_that_is_told(
    story_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tokenizing._survey(story_file)
    assert found.sampled == found.sentences
    monkeypatch.setattr(tokenizing, "SAMPLE_CHARACTERS", found.characters // 4)
    kept = list(tokenizing._sample(story_file, found))
    assert (
        len(kept)
        == found.sampled
        == math.ceil(found.sentences * (found.characters // 4) / found.characters)
    )
    assert sum(map(len, kept)) == pytest.approx(found.characters / 4, rel=0.2)
    told: list[str] = []
    settings = TokenizerSettings(vocab_size=310)
    tokenizing.train_tokenizer(story_file, settings, tmp_path / "model", told.append)
    assert f"{found.sampled:,} of the text's {found.sentences:,} lines" in told[0]


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
    class Pressed:
        """Ctrl-C at the second pass over the text, which is the one that SentencePiece asks for."""

        def __init__(self) -> None:
            self.passes = 0

        def __call__(self, text_file: Path) -> Iterator[str]:
            self.passes += 1
            yield "one sentence"
            if self.passes == 2:
                raise KeyboardInterrupt

    pressed = Pressed()
    monkeypatch.setattr(tokenizing, "_sentences", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(story_file, 320, tmp_path / "t.model")
    assert pressed.passes == 2
    assert not (tmp_path / "t.model").exists()


def test_the_version_of_sentencepiece_is_told() -> None:
    assert tokenizing.made_with() == {"sentencepiece": version("sentencepiece")}
