"""Whoever follows a sweep: the command line draws it, tests record it."""

from tinytx.sweep.records import Record
from tinytx.train.progress import Reporter


class Watch:
    """Silent by itself: override what you want to hear."""

    reporter = Reporter()
    """Hears what preparing a corpus and a tokenizer has to tell."""

    def note(self, text: str) -> None:
        """A fact worth a line."""

    def began(self, number: int) -> None:
        """A trial is about to be trained."""

    def epoch(self, number: int, epoch: int, bits_per_byte: float) -> None:
        """It has finished an epoch."""

    def ended(self, record: Record) -> None:
        """A trial has ended, trained or not."""
