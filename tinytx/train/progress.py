"""What the pipeline tells whoever watches: the command line draws it, tests record it."""

from dataclasses import dataclass

from tinytx.train.metrics import EpochRecord


@dataclass(frozen=True)
class StepReport:
    """One finished training step."""

    done: int
    total: int
    """Steps of the whole run, as far as known: fewer than planned where it has to end in time."""
    epoch: int
    epochs: int
    loss: float
    """Nats per token, of this step."""
    tokens_per_second: float
    seconds_left: float


class Reporter:
    """Silent by itself: override what you want to hear."""

    def phase(self, number: int, name: str) -> None:
        """A phase (1 to 5) begins."""

    def note(self, text: str) -> None:
        """A fact worth a line."""

    def warn(self, text: str) -> None:
        """Something that the user should act on, though the run goes on."""

    def begin(self, run_id: str, steps_done: int) -> None:
        """A run begins, or is resumed after so many steps."""

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is done, its validation and checkpoint included."""

    def step(self, report: StepReport) -> None:
        """A training step is done."""

    def reading(self, done: int) -> None:
        """Bytes of text that have been read so far."""

    def tokens(self, done: int, total: int) -> None:
        """Bytes of text that have been made tokens of, and of how many."""

    def download(self, done: int, total: int | None) -> None:
        """Bytes of a download so far; the total where the server tells it."""
