"""Streaming: whole characters only, stop strings across pieces, and every reason to end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
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
from tinytx.runtime.text import TextStream

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


@settings(CALM, max_examples=200)
@given(st.data(), st.text("abñ", max_size=20), st.lists(st.text("abñ", min_size=1, max_size=4)))
def test_it_does_not_matter_how_the_text_was_cut_into_pieces(
    data: st.DataObject, text: str, stops: list[str]
) -> None:
    """Read character by character, the first stop text to be complete ends the text."""
    expected = text
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            expected = text[: min(starts)]
            break
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stream = TextStream([piece.encode() for piece in pieces], stops)
    given = [stream.push(token) for token in range(len(pieces))]
    assert "".join([*given, stream.finish()]) == expected
    assert stream.stopped == (expected != text)


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


@pytest.mark.parametrize("context", [8, 9])
def test_a_sliding_context_keeps_the_newer_half_and_starts_anew(context: int) -> None:
    """Every token is chosen from a context that is a run of the text ending just before it."""
    engine: Any = Scripted(list(b"abcdefghijklm"), context=context)
    contexts: list[list[int]] = []
    append, reset = engine.append, engine.reset

    def record(ids: list[int]) -> NDArray[np.float32]:
        contexts.append([*(contexts[-1] if engine.length else []), *ids])
        return append(ids)  # type: ignore[no-any-return]

    def forget() -> None:
        said = engine.said
        reset()
        engine.said = said  # the script goes on

    engine.append, engine.reset = record, forget
    outcome = Outcome()
    text = "".join(generate(engine, "", max_tokens=26, when_full="slide", outcome=outcome))
    assert text == "abcdefghijklm" * 2
    whole = [START, *text.encode()]
    half = (context + 1) // 2
    for i, held in enumerate(contexts):
        assert held == whole[i + 1 - len(held) : i + 1]
        assert half <= len(held) <= context or len(held) == i + 1
    assert (outcome.tokens, outcome.stopped) == (26, "length")
    assert outcome.slides == sum(b[0] != a[0] or len(b) < len(a) for a, b in pairwise(contexts))
    assert outcome.slides > 2


def test_after_a_slide_the_logits_are_those_of_pytorch_given_the_same_tokens(pair: Any) -> None:
    """Greedy tokens of a random model, each recomputed by PyTorch from the newer tokens alone."""
    engine, limit = pair.engine(), pair.facts.max_seq_length
    seen: list[NDArray[np.float32]] = []
    append = engine.append

    def record(ids: Sequence[int]) -> NDArray[np.float32]:
        seen.append(append(ids))
        return seen[-1]

    engine.append = record  # type: ignore[method-assign]
    for _ in generate(engine, "The", max_tokens=3 * limit, when_full="slide"):
        pass
    assert len(seen) == 3 * limit
    ids = prompt_ids(engine, "The")
    context = list(ids)
    for logits in seen:
        if len(context) > limit:
            context = context[-((limit + 1) // 2) :]
        np.testing.assert_allclose(logits, pair.reference(context)[-1], atol=2e-4)
        context.append(int(logits.argmax()))


@pytest.mark.parametrize("context", [1, 2, 8, 9])
@pytest.mark.parametrize("size", range(0, 27, 3))
def test_too_long_a_prompt_slides_through_the_context_like_generated_text(
    context: int, size: int
) -> None:
    """A prompt and the same bytes generated leave the same tokens and slides behind."""

    def last_context(script: bytes, prompt: bytes, tokens: int) -> tuple[list[int], Outcome]:
        engine: Any = Scripted(list(script), context=context)
        reset = engine.reset

        def forget() -> None:
            said = engine.said
            reset()
            engine.said = said  # the script goes on

        engine.reset = forget
        outcome = Outcome()
        for _ in generate(
            engine, prompt.decode(), max_tokens=tokens, when_full="slide", outcome=outcome
        ):
            pass
        return engine.seen, outcome

    text = bytes(range(97, 97 + size))
    one_by_one, generated = last_context(text + b"!", b"", size + 1)
    at_once, prompted = last_context(b"!", text, 1)
    assert at_once == one_by_one
    assert prompted.slides == generated.slides
    assert prompted.prompt_tokens - prompted.prompt_dropped == len(at_once) <= context
    assert (prompted.tokens, prompted.stopped) == (1, "length")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stop": ["a", ""]}, "a stop text must not be empty"),
        ({"max_tokens": 0}, "max-tokens must be 1 or more, not 0"),
        ({"when_full": "grow"}, "when-full must be stop or slide, not 'grow'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(
    arguments: dict[str, Any], words: str
) -> None:
    engine: Any = Scripted(list(b"x"))
    with pytest.raises(UsageError, match=words):
        generate(engine, "", **arguments)


def test_a_repetition_penalty_counts_the_prompt_and_what_was_generated() -> None:
    """A huge penalty: the favourite (of logit 1, all others 0) loses once the text holds it."""
    engine: Any = Scripted(list(b"aab"))
    sampling = Sampling(repetition_penalty=100.0)
    assert "".join(generate(engine, "b", max_tokens=3, sampling=sampling)) == "a" * 2 + "b"
    engine = Scripted(list(b"aab"))
    engine.append = lambda ids, append=engine.append: append(ids) + 0.5
    text = "".join(generate(engine, "b", max_tokens=3, sampling=sampling))
    assert text == "a\0\x01"


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


@pytest.mark.parametrize("stops", [(), ("b",)])
def test_tokens_pushed_at_once_give_the_same_text_as_one_by_one(stops: tuple[str, ...]) -> None:
    table = [b"a", b"\xc3", b"\xa9", b"b", b"\xff"]
    tokens = [0, 1, 2, 4, 0, 1, 0, 3, 0]
    for cut in range(len(tokens) + 1):
        one, other = TextStream(table, stops), TextStream(table, stops)
        alone = [one.push(token) for token in tokens] + [one.finish()]
        pieces = other.push_all(tokens[:cut]) + other.push_all(tokens[cut:]) + [other.finish()]
        assert "".join(pieces) == "".join(alone)
        assert one.stopped == other.stopped
