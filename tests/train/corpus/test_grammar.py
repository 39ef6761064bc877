"""The grammar engine: templates, sampling, exact probabilities, and the proof of one derivation."""

import math
import random as stdlib_random
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytx.train.corpus import builtin
from tinytx.train.corpus.grammar import (
    Bind,
    Choice,
    GrammarError,
    Literal,
    Node,
    Reference,
    Sequence,
    SplitMix64,
    parse,
    sample,
)
from tinytx.train.corpus.proof import find_clash
from tinytx.train.corpus.templates import compile_grammar, read_rules, read_words

Env = Mapping[str, Mapping[str, str]]

TOY = """
start:
  1 {hero=name} {did} {object}[1/3  {when}].
  2 One {when} {hero=name} {did} {object}, and {hero.he} laughed.
did:
  3 saw
  1 sang to
object:
  2 a cat
  1 {hero.his} cat
  1 {hero.his} hat
when:
  5 night
  1 day
"""
HEROES = {
    "hero": (
        (2, {"name": "Ana", "he": "she", "his": "her"}),
        (1, {"name": "Tom", "he": "he", "his": "his"}),
    )
}
AMBIGUOUS = {
    "two rules that share a text": "start:\n  1 {x} tea\n  1 a {y}\nx:\n  1 a\n  1 b\ny:\n  1 tea",
    "an optional part met twice": "start:\n  1 [1/2 very ][1/2 very ]old",
    "a cut that can fall in two places": "start:\n  1 {x}{x}\nx:\n  1 a\n  2 aa",
    "a name that is also a word": "start:\n  1 {hero=name} and {x}\nx:\n  1 {hero.name}\n  1 Tom",
    "the same words twice": "start:\n  1 {x}.\n  3 {x}.\nx:\n  1 a",
}


def toy(source: str = TOY) -> Node:
    return compile_grammar("start", read_rules(source), HEROES)


def spell(node: Node, env: Env) -> Iterator[tuple[str, Env, Fraction]]:
    """Yield every derivation: its text, the bindings after it, and its exact probability."""
    if isinstance(node, Literal | Reference):
        word = node.text if isinstance(node, Literal) else env[node.variable][node.form]
        yield word, env, Fraction(1)
    elif isinstance(node, Choice):
        for weight, option in zip(node.weights, node.options, strict=True):
            for text, after, p in spell(option, env):
                yield text, after, p * weight / sum(node.weights)
    elif isinstance(node, Bind):
        for weight, record in zip(node.weights, node.records, strict=True):
            p = Fraction(weight, sum(node.weights))
            yield record[node.form], {**env, node.variable: record}, p
    elif not node.parts:
        yield "", env, Fraction(1)
    else:
        for head, between, p in spell(node.parts[0], env):
            for tail, after, q in spell(Sequence(node.parts[1:]), between):
                yield head + tail, after, p * q


def brute_force(node: Node, text: str, at: int, env: Env) -> Iterator[tuple[int, Env]]:
    """Yield where each derivation of `node` that spells text[at:...] ends: the definition."""
    if isinstance(node, Choice):
        for option in node.options:
            yield from brute_force(option, text, at, env)
    elif isinstance(node, Bind):
        for record in node.records:
            if text[at:].startswith(record[node.form]):
                yield at + len(record[node.form]), {**env, node.variable: record}
    elif isinstance(node, Sequence):
        if not node.parts:
            yield at, env
        else:
            for middle, between in brute_force(node.parts[0], text, at, env):
                yield from brute_force(Sequence(node.parts[1:]), text, middle, between)
    else:
        word = node.text if isinstance(node, Literal) else env[node.variable][node.form]
        if text[at : at + len(word)] == word:
            yield at + len(word), env


def count(root: Node, text: str) -> int:
    return sum(end == len(text) for end, _ in brute_force(root, text, 0, {}))


def test_the_probabilities_of_a_toy_grammar_sum_to_one_and_its_texts_are_distinct():
    texts = [(text, p) for text, _, p in spell(toy(), {})]
    assert sum(p for _, p in texts) == 1
    assert len({text for text, _ in texts}) == len(texts) == 2 * 2 * 3 * (3 + 2)


def test_parsing_gives_the_exact_probability_of_every_text_of_a_toy_grammar():
    for text, _, p in spell(toy(), {}):
        assert parse(toy(), text) == [pytest.approx(-math.log2(p))]


def test_sampling_reports_the_exact_probability_and_follows_the_weights():
    root, draws, random = toy(), 20_000, SplitMix64(7)
    expected = {text: p for text, _, p in spell(root, {})}
    seen: Counter[str] = Counter()
    for _ in range(draws):
        text, bits = sample(root, random)
        assert bits == pytest.approx(-math.log2(expected[text]))
        seen[text] += 1
    chi2 = sum((seen[text] - draws * p) ** 2 / (draws * p) for text, p in expected.items())
    freedom = len(expected) - 1
    assert chi2 < freedom + 3.1 * math.sqrt(2 * freedom)  # normal approximation, p > 0.001


def test_a_grammar_that_needs_to_look_ahead_is_proved():
    source = "start:\n  1 {x} ran to the {x}.\n  1 {x} ran to the old {x}.\nx:\n  1 cat\n  1 dog"
    assert find_clash(toy(source)) is None
    assert find_clash(toy()) is None


@pytest.mark.parametrize("source", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_grammar_is_caught_by_the_proof_and_by_both_parsers(source: str):
    root = toy(source)
    assert find_clash(root) is not None
    texts = [text for text, _, _ in spell(root, {})]
    twice = [text for text, n in Counter(texts).items() if n > 1]
    assert twice
    for text in twice:
        assert count(root, text) == len(parse(root, text)) == texts.count(text)


def test_the_proof_refuses_a_text_that_continues_another():
    assert find_clash(toy("start:\n  1 the end\n  1 the end, or not")) == "the end"


def test_a_word_bound_in_one_branch_alone_is_not_taken_for_the_same_word_in_the_other():
    records = ({"a": "x", "b": "y"}, {"a": "xy", "b": ""})
    bind, later = Bind("v", "a", (1, 1), records), Reference("v", "b", ("y", ""))
    assert find_clash(Sequence((bind, later))) is not None
    assert count(Sequence((bind, later)), "xy") == 2


words = st.text(alphabet="ab", min_size=1, max_size=2)
leaves = st.one_of(words.map(Literal), st.just(Reference("v", "two", ("a", "ab", "b"))))
graphs = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Sequence(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda options: Choice(tuple(range(1, len(options) + 1)), tuple(options))
        ),
    ),
    max_leaves=8,
)
records = tuple({"one": one, "two": two} for one, two in (("a", "ab"), ("ba", "a"), ("bb", "b")))
bound = graphs.map(lambda node: Sequence((Bind("v", "one", (3, 2, 1), records), node)))


@settings(max_examples=150, deadline=None)
@given(bound)
def test_a_proved_grammar_has_no_text_with_two_derivations(root: Node):
    texts = [text for text, _, _ in spell(root, {})]
    if find_clash(root) is None:
        assert len(set(texts)) == len(texts)
    for text in texts[:20]:
        assert len(parse(root, text)) == count(root, text) == texts.count(text)


@pytest.mark.long
def test_every_choice_of_the_story_grammar_is_decided_by_the_text():
    assert find_clash(builtin.grammar()) is None


def test_every_story_parses_to_exactly_one_derivation():
    random = SplitMix64(11)
    for _ in range(250):
        story, bits = sample(builtin.grammar(), random)
        assert parse(builtin.grammar(), story) == [pytest.approx(bits)]
        assert count(builtin.grammar(), story) == 1


def test_splitmix64_gives_the_published_sequence():
    random = SplitMix64(1234567)
    assert [random.next() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_below_covers_its_range_evenly():
    random = SplitMix64(3)
    seen = Counter(random.below(6) for _ in range(6_000))
    assert sorted(seen) == list(range(6))
    assert all(abs(n - 1_000) < 120 for n in seen.values())


def test_below_draws_again_past_the_last_multiple(monkeypatch: pytest.MonkeyPatch):
    draws = iter([2**64 - 1, 5])
    monkeypatch.setattr(SplitMix64, "next", lambda self: next(draws))
    assert SplitMix64(0).below(3) == 2


def test_sampling_leaves_the_global_generator_alone():
    before = stdlib_random.getstate()
    sample(toy(), SplitMix64(0))
    assert stdlib_random.getstate() == before


def test_words_come_in_tiers_and_underscores_are_spaces():
    assert read_words("cat dog / very_old") == ((3, "cat"), (3, "dog"), (2, "very old"))


def test_a_line_that_begins_with_a_bar_continues_the_template():
    assert read_rules("a:\n  2 one\n    | two") == {"a": ((2, "one two"),)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("start:\n  1 {nobody}", "'nobody' is not defined"),
        ("start:\n  1 a {start}", "'start' contains itself"),
        ("start:\n  0 a", "weights of at least 1"),
        ("start:", "weights of at least 1"),
        ("start:\n  1 {hero.name}", "before it is bound"),
        ("start:\n  1 [1/2 {hero=name}]{hero.name}", "before it is bound"),
        ("start:\n  1 {hero=name}{hero=name}", "bound twice"),
        ("start:\n  1 {hero=age}", "no field 'age'"),
        ("start:\n  1 {nobody=name}", "no field 'name'"),
        ("start:\n  1 a {b", "cannot read the template"),
        ("start:\n  1 [3/3 a]b", "between 0 and 1"),
        ("start:\n  one a", "cannot read"),
        ("  1 a", "cannot read"),
        ("start:\n  1 a\nstart:\n  1 b", "defined twice"),
    ],
)
def test_a_malformed_grammar_says_what_is_wrong(source: str, message: str):
    with pytest.raises(GrammarError, match=message):
        toy(source)
