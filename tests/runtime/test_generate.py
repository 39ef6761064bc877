"""Streaming: whole characters only, stop strings across pieces, and every reason to end."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinytx.errors import UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import Outcome, generate, prompt_ids
from tinytx.runtime.golden import greedy
from tinytx.runtime.sampling import Sampling

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Busy machines are slow; that is no failure."""

WHOLE_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
START, LAST = 10, 256


class ByteTokenizer:
    """Each byte is a token; 256 stands for three characters at once."""

    start_id = START  # a newline
    piece_bytes = [*(bytes([i]) for i in range(256)), "añb".encode()]  # noqa: RUF012

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


@dataclass
class Scripted:
    """An engine whose greedy tokens are those of a script, over and over."""

    script: list[int]
    context: int = 1_000
    length: int = 0
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.facts = SimpleNamespace(max_seq_length=self.context, vocab_size=LAST + 1)
        self.tokenizer = ByteTokenizer()
        self.said = 0

    def reset(self) -> None:
        self.length, self.said, self.seen = 0, 0, []

    def append(self, ids: list[int]) -> NDArray[np.float32]:
        assert ids
        self.length += len(ids)
        self.seen += ids
        assert self.length <= self.context
        logits = np.zeros(LAST + 1, np.float32)
        logits[self.script[self.said % len(self.script)]] = 1.0
        self.said += 1
        return logits


def stream(script: bytes | list[int], **settings: Any) -> tuple[list[str], Outcome]:
    outcome = Outcome()
    settings.setdefault("max_tokens", len(script))
    engine: Any = Scripted(list(script), settings.pop("context", 1_000))
    return list(generate(engine, "", outcome=outcome, **settings)), outcome


@CALM
@given(WHOLE_TEXT.filter(bool))
@example("aé你😀\U0010ffffe\u0301")
@example("\ufffd real replacement characters \ufffd")
def test_characters_that_arrive_byte_by_byte_are_given_out_whole(text: str) -> None:
    pieces, outcome = stream(text.encode())
    assert "".join(pieces) == text
    assert pieces == list(text)
    assert outcome.tokens == len(text.encode())
    assert outcome.stopped == "length"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ab€".encode()[:-1], "ab\ufffd"),
        ("😀".encode()[:1], "\ufffd"),
        (b"\xac", "\ufffd"),
        (b"\xe2\x82a", "\ufffda"),
        ("€".encode()[:2] + "ñ".encode(), "\ufffdñ"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_an_unfinished_character_becomes_a_replacement_character(
    script: bytes, expected: str
) -> None:
    pieces, _ = stream(script)
    assert "".join(pieces) == expected
    assert all(pieces)


def test_a_piece_of_several_characters_comes_as_one() -> None:
    assert stream([LAST, 33, LAST])[0] == ["añb", "!", "añb"]


@settings(CALM, max_examples=300)
@given(
    st.text("ab ñ", min_size=1, max_size=20),
    st.text("abñ ", min_size=1, max_size=4),
)
@example("ababac", "abac")
@example("aab", "ab")
@example("ñ", "ñ")
def test_a_stop_text_ends_the_stream_before_it_even_across_pieces(text: str, stop: str) -> None:
    pieces, outcome = stream(text.encode(), stop=stop)
    assert "".join(pieces) == text.split(stop)[0]
    assert outcome.stopped == ("stop" if stop in text else "length")
    if stop in text:
        needed = text[: text.index(stop) + len(stop)]
        assert outcome.tokens == len(needed.encode())


def test_text_that_cannot_begin_the_stop_text_is_not_held_back() -> None:
    engine: Any = Scripted(list(b"abcab!"))
    pieces = generate(engine, "", stop="cd", max_tokens=6)
    assert [next(pieces) for _ in range(2)] == ["a", "b"]
    assert next(pieces) == "ca"


def test_a_stop_text_inside_one_piece_cuts_the_piece() -> None:
    pieces, outcome = stream([33, LAST, 33], stop="ñ")
    assert "".join(pieces) == "!a"
    assert (outcome.tokens, outcome.stopped) == (2, "stop")


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_as_many_tokens_as_asked_are_made(limit: int) -> None:
    pieces, outcome = stream(b"abc", max_tokens=limit)
    assert len("".join(pieces)) == outcome.tokens == limit
    assert outcome.stopped == "length"


@pytest.mark.parametrize("prompt", ["", "hello", "123456"])
def test_a_full_context_ends_the_stream_and_is_told(prompt: str) -> None:
    """The last token needs no room: it is never fed back."""
    engine: Any = Scripted(list(b"x"), context=8)
    outcome = Outcome()
    text = "".join(generate(engine, prompt, max_tokens=100, outcome=outcome))
    assert text == "x" * (8 - len(prompt))
    assert outcome == Outcome(prompt_tokens=len(prompt) + 1, tokens=len(text), stopped="context")
    assert engine.length == 8


def test_a_limit_reached_with_a_full_context_is_the_limit() -> None:
    _, outcome = stream(b"x", context=8, max_tokens=8)
    assert (outcome.tokens, outcome.stopped) == (8, "length")


def test_the_model_sees_the_start_the_prompt_and_each_token_but_the_last() -> None:
    engine: Any = Scripted(list(b"xyz"))
    assert "".join(generate(engine, "ab", max_tokens=3)) == "xyz"
    assert engine.seen == [START, *b"abxy"]
    assert "".join(generate(engine, "c", max_tokens=2)) == "xy"
    assert engine.seen == [START, *b"cx"]


@pytest.mark.parametrize("size", [7, 8, 5_000])
def test_too_long_a_prompt_is_refused_at_once_with_both_numbers(size: int) -> None:
    engine: Any = Scripted(list(b"x"), context=8)
    with pytest.raises(UsageError) as caught:
        generate(engine, "p" * size)
    assert caught.value.message == (
        f"the prompt is {size} tokens long; this model's context of 8 has room for 6"
    )
    assert engine.seen == []
    assert len(prompt_ids(engine, "p" * 6)) == 7


def test_a_prompt_that_is_no_text_is_refused() -> None:
    engine: Any = Scripted(list(b"x"))
    for prompt in ("\udcff", "a\ud800b"):
        with pytest.raises(UsageError, match="not valid UTF-8"):
            generate(engine, prompt)


def test_nothing_runs_before_the_first_piece_is_asked_for() -> None:
    engine: Any = Scripted(list(b"x"))
    pieces = generate(engine, "abc")
    assert engine.seen == []
    next(pieces)
    assert engine.seen == [START, *b"abc"]


@pytest.mark.parametrize("prompt", ["", "The quiet", "señor ñandú — 你好 😀", "\n\n  "])
def test_the_pieces_of_a_real_model_joined_are_its_tokens_decoded(
    tiny_bundle: Path, prompt: str
) -> None:
    engine = Engine.load(tiny_bundle)
    outcome = Outcome()
    text = "".join(generate(engine, prompt, max_tokens=25, outcome=outcome))
    tokens, _ = greedy(engine, prompt, 25)
    assert len(tokens) == outcome.tokens
    assert text == engine.tokenizer.decode(tokens)
    assert outcome.prompt_tokens == len(engine.tokenizer.encode(prompt)) + 1


def test_the_same_seed_gives_the_same_text_in_the_same_engine(tiny_bundle: Path) -> None:
    engine = Engine.load(tiny_bundle)

    def sample(seed: int) -> str:
        sampling = Sampling(1.0, top_k=50, top_p=0.95, seed=seed)
        return "".join(generate(engine, "The", max_tokens=30, sampling=sampling))

    first = sample(1)
    assert sample(2) != first
    assert sample(1) == first
