"""Training the tokenizer: SentencePiece unigram (Kudo 2018, arXiv 1804.10959), byte fallback.

The same text gives the same bytes in every process: the sample of a large text is drawn here, and
SentencePiece gets all of it.
"""

import io
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from tinytx.config import TokenizerSettings
from tinytx.errors import TokenizerError, os_errors_as
from tinytx.workspace import atomic_write

LONGEST_LINE = 4_000  # bytes handed over as one sentence; SentencePiece would drop longer ones
LINE_AT_ONCE = 1_000_000  # characters of a line that are read at once: a multiple of that
SENTENCES = 400_000  # a uniform sample of a larger text is enough for 65,000 pieces
SAMPLE_CHARACTERS = 12_000_000  # of that sample at most: SentencePiece takes 20 bytes for each
SAMPLE_SEED = 1
COVERAGE = 0.9999  # the share of a text's characters that get a piece of their own
FIXED_PIECES = 258  # the 256 bytes, the newline, and the one for the unknown
CHARACTERS_AT_MOST = 0.75
"""Of the other pieces, where a text has more characters than these: the rest is for words."""
SPACE, RESERVED = "\u2581", "\u2585"
"""What SentencePiece writes for a space, and for a character without a piece: it drops a sentence
that holds the second one."""

SMALLEST = 300  # pieces: as TokenizerSettings.vocab_size


class _NoRoom(Exception):
    """The text has more characters than the vocabulary has pieces."""


@dataclass(frozen=True)
class _Text:
    """What one pass over a text finds."""

    sentences: int
    characters: int
    spaces: int
    """How often the text holds :data:`SPACE`."""
    reserved: int

    @property
    def sampled(self) -> int:
        """How many of the sentences the tokenizer is trained on."""
        share = min(1.0, SAMPLE_CHARACTERS / max(1, self.characters))
        return min(SENTENCES, math.ceil(share * self.sentences))


def made_with() -> dict[str, str]:
    """The version of SentencePiece: another one may make another model of the same text."""
    return {"sentencepiece": sentencepiece.__version__}


def train_tokenizer(
    text_file: Path,
    settings: TokenizerSettings,
    target: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Train on a text file and write the model to ``target``.

    ``tell`` hears what the text's characters mean for it. Raises :class:`TokenizerError` when the
    text supports no vocabulary of this size.
    """
    text, size = _survey(text_file), settings.vocab_size
    remarks = list(_remarks(text))
    try:
        model = _train(_sample(text_file, text), size)
    except _NoRoom:
        model, remark = _train_with_fewer_characters(text_file, text, size)
        remarks.insert(0, remark)
    with os_errors_as(TokenizerError, "write the tokenizer"):
        atomic_write(target, model)
    for remark in remarks:
        tell(remark)


def _train_with_fewer_characters(text_file: Path, text: _Text, size: int) -> tuple[bytes, str]:
    """The bytes of a model in which the most frequent characters alone have pieces, and what to
    say of it. The others are written as bytes."""
    counts: Counter[str] = Counter()
    for sentence in _sample(text_file, text):
        counts.update(sentence)
    free = size - FIXED_PIECES - 1  # the space has its piece in any case
    for share in (CHARACTERS_AT_MOST, 1.0):
        kept = [sign for sign, _ in counts.most_common(int(share * free))]
        try:
            model = _train(_cut(_sample(text_file, text), "".join(kept)), size)
            break
        except TokenizerError:  # its words do not fill their part of the vocabulary: signs do
            if share == 1.0:
                raise
    part = 100 * sum(counts[sign] for sign in kept) / counts.total()
    return model, (
        f"the text has {len(counts):,} different characters: the {len(kept):,} most frequent "
        f"({part:.1f} % of it) have a piece of their own, the others are written as bytes; a "
        "larger --vocab-size holds more of them"
    )


def _train(sentences: Iterator[str], vocab_size: int) -> bytes:
    """The bytes of a model. Raises :class:`TokenizerError`, or :class:`_NoRoom`."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=sentences,
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            byte_fallback=True,
            character_coverage=COVERAGE,
            user_defined_symbols=["\n"],
            required_chars=SPACE,  # a text without one would lose those of a prompt
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=2 * LONGEST_LINE,
            input_sentence_size=0,  # all of them: its own sample is another one in each process
            num_threads=1,  # the sums of several threads differ in their last bits
            minloglevel=3,
        )
    except RuntimeError as error:
        if "KeyboardInterrupt" in str(error):  # Ctrl-C while it was asking for sentences
            raise KeyboardInterrupt from error
        if "smaller than required_chars" in str(error):
            raise _NoRoom from error
        raise TokenizerError(_reason(str(error), vocab_size)) from error
    return model.getvalue()


def _sentences(text_file: Path) -> Iterator[str]:
    """Lines without their newline, cut where they are longer than SentencePiece accepts, and where
    they hold the character that it reserves."""
    most = LONGEST_LINE // 4  # characters; the longest has four bytes
    with text_file.open(encoding="utf-8", newline="") as file:
        while line := file.readline(LINE_AT_ONCE):
            for text in line.rstrip("\n").split(RESERVED):
                for start in range(0, len(text), most):
                    yield text[start : start + most]


def _survey(text_file: Path) -> _Text:
    sentences = characters = spaces = reserved = 0
    for sentence in _sentences(text_file):
        sentences += 1
        characters += len(sentence)
        spaces += sentence.count(SPACE)
    with text_file.open(encoding="utf-8", newline="") as file:
        while part := file.read(1 << 20):
            reserved += part.count(RESERVED)
    return _Text(sentences, characters, spaces, reserved)


def _sample(text_file: Path, text: _Text) -> Iterator[str]:
    """All sentences, or as many as :attr:`_Text.sampled` says in their order, each set of that size
    being equally likely (selection sampling: Knuth, The Art of Computer Programming, 3.4.2, S)."""
    sentences, wanted = _sentences(text_file), text.sampled
    if wanted == text.sentences:
        yield from sentences
        return
    source = random.Random(SAMPLE_SEED)
    for left, sentence in zip(range(text.sentences, 0, -1), sentences, strict=True):
        if left * source.random() < wanted:
            wanted -= 1
            yield sentence


def _cut(sentences: Iterator[str], kept: str) -> Iterator[str]:
    """Sentences without the characters that are not ``kept``, cut there: what SentencePiece does
    itself where it takes at least 98 % of a text."""
    others = re.compile(f"[^{re.escape(kept)}{SPACE} ]+")
    for sentence in sentences:
        yield from filter(None, others.split(sentence))


def _remarks(text: _Text) -> Iterator[str]:
    """What a user should know of the text's characters."""
    if text.sampled < text.sentences:
        yield (
            f"the tokenizer is made from {text.sampled:,} of the text's {text.sentences:,} lines, "
            "drawn evenly from all of it"
        )
    if text.spaces:
        yield (
            f"the text holds U+2581 ({SPACE}) {text.spaces:,} times: it is the tokenizer's own "
            "mark for a space, and comes back as a space"
        )
    if text.reserved:
        yield (
            f"the text holds U+2585 ({RESERVED}) {text.reserved:,} times: the tokenizer reserves "
            "it, so it has no piece of its own and is written as its three bytes"
        )


def _reason(message: str, vocab_size: int) -> str:
    """SentencePiece's own words as one sentence that says what to do."""
    if match := re.search(r"value <= (\d+)", message):
        if int(match[1]) < SMALLEST:
            return f"this text is too short: it supports {match[1]} pieces, not even {SMALLEST}"
        return (
            f"a vocabulary of {vocab_size} is larger than this text supports; "
            f"use --vocab-size {match[1]} or less, or more text"
        )
    last = message.strip().splitlines()[-1] if message.strip() else "no reason given"
    return f"SentencePiece cannot train a vocabulary of {vocab_size}: {last}"
