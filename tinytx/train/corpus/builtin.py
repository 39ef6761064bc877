"""The built-in corpus: short stories in English and Spanish, drawn from a grammar we wrote.

Language, plot and name are chosen first, then words. Songs, made-up names and long numbers carry
much of the information, because everyday words alone come to about half a bit per byte.

Every text of the grammar has one derivation, so the probability of a story is known, and the
corpus's information per byte is the cross-entropy of the true distribution: a floor that no
model's expected loss is below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tinytx.train.corpus.grammar import Choice, GrammarError, Node, SplitMix64, parse, sample

DEFAULT_SEED = 1
TRAIN_BYTES = 2_500_000
VAL_BYTES = 300_000


@dataclass(frozen=True)
class BuiltinCorpus:
    """Stories, each followed by an empty line, and how improbable they are together."""

    text: str
    """Every story, then "\\n\\n", in the order they were drawn."""
    information_bits: float
    """The sum over stories of -log2 p(story), in bits."""
    stories: int

    @property
    def bits_per_byte(self) -> float:
        """Information per UTF-8 byte of `text`, separators included, in bits."""
        return self.information_bits / len(self.text.encode())


@cache
def grammar() -> Node:
    """Compile the grammar of a story: English or Spanish, equally likely. Compiled once."""
    from tinytx.train.corpus.stories_en import english
    from tinytx.train.corpus.stories_es import spanish

    return Choice((1, 1), (english(), spanish()))


def generate(seed: int, size_bytes: int) -> BuiltinCorpus:
    """Draw stories independently until their text has at least `size_bytes` UTF-8 bytes.

    Equal arguments give equal bytes on every platform and version of Python.
    """
    corpus, _ = _draw(SplitMix64(seed), size_bytes, frozenset())
    return corpus


def split(seed: int, train_bytes: int, val_bytes: int) -> tuple[BuiltinCorpus, BuiltinCorpus]:
    """Draw a training and a validation text from two independent streams of one seed.

    A validation story that is also a training story is dropped and drawn again. A typical story
    has 280 bits and the most probable one has more than 80, so a redraw practically never
    happens, and the condition changes p(story) by a factor of 1 / (1 - P(training stories)),
    which differs from 1 by less than (number of training stories) * 2**-80.
    """
    streams = SplitMix64(seed)
    train_stream, val_stream = SplitMix64(streams.next()), SplitMix64(streams.next())
    train, seen = _draw(train_stream, train_bytes, frozenset())
    val, _ = _draw(val_stream, val_bytes, seen)
    return train, val


def story_information_bits(text: str) -> float:
    """Parse one story, its empty line left out or not, and return -log2 p(story) in bits.

    Raises ValueError (a GrammarError) when the text has no derivation, or more than one.
    """
    found = parse(grammar(), text.removesuffix("\n\n"))
    if len(found) != 1:
        raise GrammarError(f"{len(found)} derivations, expected 1, of the text {text[:60]!r}...")
    return found[0]


def _draw(
    random: SplitMix64, size_bytes: int, excluded: frozenset[str]
) -> tuple[BuiltinCorpus, frozenset[str]]:
    """Return the corpus and the set of its stories, none of them in `excluded`."""
    root = grammar()
    stories: list[str] = []
    size, total = 0, 0.0
    while size < size_bytes:
        story, bits = sample(root, random)
        if story in excluded:
            continue
        stories.append(story)
        size += len(story.encode()) + 2
        total += bits
    text = "".join(f"{story}\n\n" for story in stories)
    return BuiltinCorpus(text, total, len(stories)), frozenset(stories)
