"""Training the tokenizer: SentencePiece unigram (Kudo 2018, arXiv 1804.10959), byte fallback."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from tinytx.config import TokenizerSettings
from tinytx.errors import TokenizerError, os_errors_as
from tinytx.workspace import atomic_write

LONGEST_LINE = 4_000  # bytes handed over as one sentence; SentencePiece would drop longer ones
SENTENCES = 400_000  # a uniform sample of a larger text is enough for 65,000 pieces

SMALLEST = 300  # pieces: as TokenizerSettings.vocab_size


def train_tokenizer(text_file: Path, settings: TokenizerSettings, target: Path) -> None:
    """Train on a text file and write the model to ``target``.

    Raises :class:`TokenizerError` when the text supports no vocabulary of this size.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=_sentences(text_file),
            model_writer=model,
            model_type="unigram",
            vocab_size=settings.vocab_size,
            byte_fallback=True,
            character_coverage=0.9999,
            user_defined_symbols=["\n"],
            required_chars="\u2581",  # the space: a text without one would lose those of a prompt
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=2 * LONGEST_LINE,
            input_sentence_size=SENTENCES,
            shuffle_input_sentence=True,
            num_threads=1,  # the sums of several threads differ in their last bits
            minloglevel=3,
        )
    except RuntimeError as error:
        if "KeyboardInterrupt" in str(error):  # Ctrl-C while it was asking for sentences
            raise KeyboardInterrupt from error
        raise TokenizerError(_reason(str(error), settings.vocab_size)) from error
    with os_errors_as(TokenizerError, "write the tokenizer"):
        atomic_write(target, model.getvalue())


def _sentences(text_file: Path) -> Iterator[str]:
    """Lines without their newline, cut where they are longer than SentencePiece accepts."""
    with text_file.open(encoding="utf-8", newline="") as file:
        for line in file:
            text = line.rstrip("\n")
            for start in range(0, len(text), LONGEST_LINE // 4):
                yield text[start : start + LONGEST_LINE // 4]


def _reason(message: str, vocab_size: int) -> str:
    """SentencePiece's own words as one sentence that says what to do."""
    if match := re.search(r"value <= (\d+)", message):
        if int(match[1]) < SMALLEST:
            return f"this text is too short: it supports {match[1]} pieces, not even {SMALLEST}"
        return (
            f"a vocabulary of {vocab_size} is larger than this text supports; "
            f"use --vocab-size {match[1]} or less, or more text"
        )
    if match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"a vocabulary of {vocab_size} has no room for the characters of this text; "
            f"use --vocab-size {match[1]} or more"
        )
    last = message.strip().splitlines()[-1] if message.strip() else "no reason given"
    return f"SentencePiece cannot train a vocabulary of {vocab_size}: {last}"
