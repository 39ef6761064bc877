"""The built-in corpus: its bytes, its known probability, and the look of its sentences."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tinytx.train.corpus import builtin
from tinytx.train.corpus.builtin import BuiltinCorpus
from tinytx.train.corpus.grammar import (
    Bind,
    Choice,
    Literal,
    Node,
    Sequence,
    SplitMix64,
    nodes,
    sample,
)

MADE_UP = "(?:[b-df-hj-np-tv-z][aeiou])+"
SPANISH = re.compile("[áéíóúñ¡¿]")


@pytest.fixture(scope="module")
def corpora() -> tuple[BuiltinCorpus, BuiltinCorpus]:
    return builtin.split(builtin.DEFAULT_SEED, builtin.TRAIN_BYTES, builtin.VAL_BYTES)


@pytest.fixture(scope="module")
def stories(corpora: tuple[BuiltinCorpus, BuiltinCorpus]) -> list[str]:
    return corpora[0].text.split("\n\n")[:-1]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_default_corpus_is_always_the_same_bytes(
    corpora: tuple[BuiltinCorpus, BuiltinCorpus],
):
    assert (
        digest(corpora[0].text)
        == "14e77c232a5d17a6a0beae70d48d69f1e263205dca50dd8ebe3e7462871d4b5d"
    )
    assert (
        digest(corpora[1].text)
        == "32ed4786d8c255bd12ee4d8b6179d67ef68b2069283c417d4d6950bf239275af"
    )


def test_a_small_corpus_is_always_the_same_bytes():
    assert (
        digest(builtin.generate(1, 20_000).text)
        == "399c5b16ee1f41eab5e59cbdedd9fb7cefa2ed79ef3d630a34b43f00488bbbc9"
    )


def test_the_floor_is_near_six_tenths_of_a_bit_per_byte(
    corpora: tuple[BuiltinCorpus, BuiltinCorpus],
):
    for corpus in corpora:
        assert 0.55 < corpus.bits_per_byte < 0.65


def test_bits_per_byte_counts_utf8_bytes():
    assert BuiltinCorpus("ñ\n\n", 8.0, 1).bits_per_byte == 2.0


def test_stories_are_drawn_until_the_size_is_reached_and_no_further():
    corpus = builtin.generate(5, 10_000)
    parts = corpus.text.split("\n\n")
    assert parts.pop() == ""
    assert len(parts) == corpus.stories
    assert len(corpus.text.encode()) >= 10_000 > len("\n\n".join(parts[:-1]).encode())


def test_no_size_gives_no_story():
    assert builtin.generate(5, 0) == BuiltinCorpus("", 0.0, 0)


def test_the_samplers_account_agrees_with_parsing_the_text():
    corpus = builtin.generate(9, 60_000)
    parsed = map(builtin.story_information_bits, corpus.text.split("\n\n")[:-1])
    assert corpus.information_bits == pytest.approx(sum(parsed))


def test_a_story_may_be_given_with_its_empty_line():
    text = builtin.generate(2, 1).text
    with_line = builtin.story_information_bits(text)
    assert with_line == builtin.story_information_bits(text.removesuffix("\n\n"))


def test_a_text_that_is_no_story_is_refused():
    story = builtin.generate(2, 1).text.removesuffix("\n\n")
    for text in ("", "Once upon a time.", story + " ", story[:-1], story * 2):
        with pytest.raises(ValueError, match="0 derivations"):
            builtin.story_information_bits(text)


def test_an_ambiguous_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    twice = Choice((1, 1), (Literal("a"), Literal("a")))
    monkeypatch.setattr(builtin, "grammar", lambda: twice)
    with pytest.raises(ValueError, match="2 derivations"):
        builtin.story_information_bits("a")


def test_no_validation_story_is_a_training_story(
    corpora: tuple[BuiltinCorpus, BuiltinCorpus], stories: list[str]
):
    assert len(set(stories)) == len(stories)
    assert not set(stories) & set(corpora[1].text.split("\n\n")[:-1])


def test_a_validation_story_that_was_seen_in_training_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(
        builtin, "grammar", lambda: Choice((1,) * 9, tuple(map(Literal, "123456789")))
    )
    train, val = builtin.split(0, 6, 60)
    assert val.stories == 20
    assert not set(train.text) & set(val.text) - {"\n"}


def test_the_two_streams_of_a_seed_are_not_the_stream_of_the_seed():
    train, val = builtin.split(4, 2_000, 2_000)
    assert len({train.text[:200], val.text[:200], builtin.generate(4, 2_000).text[:200]}) == 3


def test_even_the_most_probable_story_has_more_than_80_bits():
    least: dict[Node, float] = {}

    def bits(node: Node) -> float:
        if node not in least:
            least[node] = 0.0
            if isinstance(node, Sequence):
                least[node] = sum(map(bits, node.parts))
            elif isinstance(node, Choice):
                least[node] = min(cost + bits(option) for cost, option in node.wheel)
            elif isinstance(node, Bind):
                least[node] = min(cost for cost, _ in node.wheel)
        return least[node]

    assert bits(builtin.grammar()) > 80


def test_both_languages_are_equally_likely(stories: list[str]):
    spanish = sum(bool(SPANISH.search(story)) for story in stories)
    assert abs(spanish - len(stories) / 2) < 3 * len(stories) ** 0.5 / 2


def test_stories_are_of_a_readable_length(stories: list[str]):
    sizes = sorted(len(story.encode()) for story in stories)
    assert sizes[0] > 200
    assert sizes[len(sizes) * 96 // 100] < 750
    assert 430 < sum(sizes) / len(sizes) < 530


def test_every_word_of_the_grammar_is_common_enough_to_be_learned(stories: list[str]):
    third = "\n".join(stories[::3]).lower()
    assert not {word for word in grammar_words() if third.count(word) < 5}


def grammar_words() -> Iterator[str]:
    for node in nodes(builtin.grammar()):
        if isinstance(node, Choice) and all(isinstance(o, Literal) for o in node.options):
            for option in node.options:
                assert isinstance(option, Literal)
                yield re.sub(r"^(an?|una?) ", "", option.text.lower())


@pytest.mark.parametrize(
    ("flaw", "pattern"),
    [
        ("an uncontracted article", r"\b(de|a) el\b"),
        ("a before a vowel sound", r"\b[Aa] ([aeio]|u(?!se)|honest)\w*(?<!one-eyed)\b"),
        ("an before a consonant", r"\b[Aa]n (?![aeiou]|honest)\w"),
        ("y before the sound i", r"\by (i|hi(?!e)|I|Hi(?!e))"),
        ("two spaces", r"  "),
        ("space before punctuation", r" [.,!?:;]"),
        ("a leftover of the template", r"[{}\[\]|_=/]"),
        ("a word said twice", rf"\b(?!{MADE_UP}\b)(\w{{3,}}) \1\b"),
        ("a sentence in lower case", r"[a-zñáéíóú][.] [a-zñáéíóú]"),
        ("doubled punctuation", r"[.,]{2}|[!?]\.|,\."),
    ],
)
def test_no_story_has(flaw: str, pattern: str, stories: list[str]):
    english_only = flaw.startswith(("a before", "an before"))
    spanish_only = flaw.startswith(("an uncontracted", "y before"))
    for story in stories:
        spanish = bool(SPANISH.search(story))
        if not (english_only and spanish) and not (spanish_only and not spanish):
            assert not (found := re.search(pattern, story)), f"{flaw}: {found} in {story}"


def test_marks_come_in_pairs_and_every_story_ends_a_sentence(stories: list[str]):
    for story in stories:
        assert story.count('"') % 2 == 0
        assert story[0] in '¡¿"' or story[0].isupper()
        assert re.search(r'[.!?]"?$|"\.$', story)
        if SPANISH.search(story):
            assert story.count("¡") == story.count("!")
            assert story.count("¿") == story.count("?")


def test_spanish_adjectives_agree_with_the_hero():
    random, seen = SplitMix64(21), 0
    while seen < 60:
        story, _ = sample(builtin.grammar(), random)
        if match := re.match(
            r"En \d+, en \w+, había un(a?) niñ(.) llamad(.) \w+, \w+(.) y \w+(.)\.", story
        ):
            seen += 1
            assert set(match.groups()[1:]) == {"a" if match[1] else "o"}


def test_importing_the_module_compiles_nothing_and_loads_nothing_heavy():
    code = (
        "import sys, tinytx.train.corpus.builtin;"
        "print(*[m for m in ('numpy', 'torch', 'tinytx.train.corpus.stories_en')"
        " if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
