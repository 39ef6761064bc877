"""Text survives the round trip; models that would change it are refused."""

import io
import random
from pathlib import Path
from unittest import mock

import pytest
import sentencepiece
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinytx import tokenizer as module
from tinytx.errors import TokenizerError
from tinytx.tokenizer import Tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"))
WORDS = st.sampled_from(
    ["river", "garden", "señor", "little", "morning", " ", "\r", "你😀", "\n\n"]
)

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Busy machines are slow; that is no failure."""
LINES = st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=20)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> bytes:
    return (tiny_run / "tokenizer.model").read_bytes()


@pytest.fixture(scope="module")
def tokenizer(model: bytes) -> Tokenizer:
    return Tokenizer(model)


@pytest.fixture(scope="module")
def reference(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


@CALM
@given(ANY_TEXT)
@example("")
@example("  two  spaces, a tab\t, \r\n and \u00a0 \u3000 \ufeff \ufffd \x00 \x7f ﬁ ① ")
@example("\n\n\n")
@example("e\u0301 is not é, 你好 😀 \U0010ffff")
def test_any_text_survives_the_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@CALM
@given(ANY_TEXT)
def test_the_bytes_of_the_pieces_are_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    table = tokenizer.piece_bytes
    assert b"".join(table[i] for i in tokenizer.encode(text)) == text.encode()


def test_the_one_exception_comes_back_as_a_space(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\u2581b")) == "a b"


@CALM
@given(LINES, st.integers(32, 80))
def test_a_long_text_cut_at_newlines_has_the_tokens_of_the_whole(
    tokenizer: Tokenizer,
    reference: sentencepiece.SentencePieceProcessor,
    lines: list[str],
    chunk: int,
) -> None:
    text = "\n".join(lines)
    with mock.patch.object(module, "ENCODE_CHUNK", chunk):
        chunked = tokenizer.encode(text)
    assert chunked == reference.EncodeAsIds(text)


@CALM
@given(ANY_TEXT, st.integers(1, 9))
def test_a_text_cut_anywhere_still_survives_the_round_trip(
    tokenizer: Tokenizer, text: str, chunk: int
) -> None:
    with mock.patch.object(module, "ENCODE_CHUNK", chunk):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@CALM
@given(ANY_TEXT)
def test_decoding_agrees_with_sentencepiece_itself(
    tokenizer: Tokenizer, reference: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    ids = tokenizer.encode(text)
    assert ids == reference.EncodeAsIds(text)
    assert tokenizer.decode(ids) == reference.DecodeIds(ids)


def test_each_piece_stands_for_the_text_that_sentencepiece_gives_it(
    tokenizer: Tokenizer, reference: sentencepiece.SentencePieceProcessor
) -> None:
    assert len(tokenizer.piece_bytes) == tokenizer.vocab_size == reference.GetPieceSize() == 320
    single = [piece for piece in tokenizer.piece_bytes if len(piece) == 1]
    assert {bytes([value]) for value in range(256)} <= set(single)
    for i, piece in enumerate(tokenizer.piece_bytes):
        if reference.IsUnknown(i):
            assert piece == b""
        elif reference.IsByte(i) and piece[0] >= 0x80:
            assert tokenizer.decode([i]) == reference.DecodeIds([i]) == "\ufffd"
        else:
            assert piece.decode() == reference.DecodeIds([i])


def test_generations_start_from_a_newline(tokenizer: Tokenizer) -> None:
    assert tokenizer.piece_bytes[tokenizer.start_id] == b"\n"
    assert tokenizer.encode("\n") == [tokenizer.start_id]


def test_bytes_that_are_no_utf8_become_replacement_characters(tokenizer: Tokenizer) -> None:
    euro = tokenizer.encode("€")
    assert [tokenizer.piece_bytes[i] for i in euro] == [b"\xe2", b"\x82", b"\xac"]
    assert tokenizer.decode([*euro[:2], *tokenizer.encode("a")]) == "\ufffda"
    assert tokenizer.decode(euro[2:]) == "\ufffd"


def foreign(**changes: object) -> bytes:
    """A SentencePiece model that differs from ours in ``changes``."""
    source = random.Random(3)
    words = ["".join(source.choices("abcdefgh", k=source.randint(2, 6))) for _ in range(200)]
    ours = {
        "model_type": "unigram",
        "vocab_size": 300,
        "byte_fallback": True,
        "user_defined_symbols": ["\n"],
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "bos_id": -1,
        "eos_id": -1,
    }
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([" ".join(source.choices(words, k=6)) for _ in range(200)]),
        model_writer=buffer,
        minloglevel=3,
        hard_vocab_limit=False,
        **{**ours, **changes},
    )
    return buffer.getvalue()


def test_a_model_of_our_kind_is_accepted() -> None:
    assert Tokenizer(foreign()).decode([Tokenizer(foreign()).start_id]) == "\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user_defined_symbols": []}, "no piece for a newline"),
        ({"byte_fallback": False, "vocab_size": 60}, "does not keep every text"),
        ({"normalization_rule_name": "nmt_nfkc"}, "does not keep every text"),
        ({"remove_extra_whitespaces": True}, "does not keep every text"),
        ({"add_dummy_prefix": True}, "does not keep every text"),
    ],
    ids=["no newline", "no bytes", "normalises", "drops spaces", "adds a space"],
)
def test_a_foreign_model_that_would_change_text_is_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(TokenizerError, match=f"my.model was not made by tinytx: it .*{words}"):
        Tokenizer(foreign(**changes), "my.model")


@settings(CALM, max_examples=200)
@given(st.binary(max_size=60))
@example(b"")
@example(b"PK\x03\x04 a zip")
@example(b"\x80\x04\x95 a pickle")
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"is not a SentencePiece model|not made by tinytx"):
        Tokenizer(garbage)


def test_a_model_cut_short_anywhere_is_refused(model: bytes) -> None:
    for size in random.Random(1).sample(range(len(model)), 60):
        with pytest.raises(TokenizerError):
            Tokenizer(model[:size])


def test_a_file_that_is_missing_or_a_folder_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"cannot read .*none\.model: No such file"):
        Tokenizer.load(tmp_path / "none.model")
    with pytest.raises(TokenizerError, match="Is a directory"):
        Tokenizer.load(tmp_path)
    text = tmp_path / "text.model"
    text.write_text("just text")
    with pytest.raises(TokenizerError, match=r"text\.model is not a SentencePiece model"):
        Tokenizer.load(text)
