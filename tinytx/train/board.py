"""The curves of a run as TensorBoard events, one folder a run, beside whatever else watches."""

from pathlib import Path

from tinytx.errors import PrerequisiteError, TrainingError, os_errors_as
from tinytx.packages import how_to_install
from tinytx.train.metrics import EpochRecord
from tinytx.train.progress import Reporter, StepReport

EVERY_STEPS = 10


class BoardReporter(Reporter):
    """Passes everything on to ``inner`` and writes losses, rates and speed below ``folder``.

    A resumed run goes on in its own folder: what it had written beyond its checkpoint is purged.
    Raises :class:`PrerequisiteError` when the package tensorboard is not installed.
    """

    def __init__(self, inner: Reporter, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PrerequisiteError(
                "--tensorboard needs the package tensorboard, which is not installed",
                how_to_install("tensorboard"),
            ) from error
        self._make_writer = SummaryWriter
        self.inner, self.folder = inner, folder
        self._writer: SummaryWriter | None = None
        self._done = 0

    def begin(self, run_id: str, steps_done: int) -> None:
        with os_errors_as(TrainingError, "write the TensorBoard events"):
            self._writer = self._make_writer(str(self.folder / run_id), purge_step=steps_done + 1)
        self.inner.begin(run_id, steps_done)

    def step(self, report: StepReport) -> None:
        self._done = report.done
        if report.done % EVERY_STEPS == 0 or report.done == report.total:
            self._write("loss/train step", report.loss)
            self._write("speed/tokens per second", report.tokens_per_second)
        self.inner.step(report)

    def epoch(self, record: EpochRecord) -> None:
        self._write("loss/train epoch", record.train_loss)
        self._write("loss/validation", record.val_loss)
        self._write("quality/bits per byte", record.val_bits_per_byte)
        self._write("learning rate", record.learning_rate)
        self._write("speed/seconds per epoch", record.seconds)
        if self._writer is not None:
            self._writer.flush()
        self.inner.epoch(record)

    def phase(self, number: int, name: str) -> None:
        self.inner.phase(number, name)

    def note(self, text: str) -> None:
        self.inner.note(text)

    def warn(self, text: str) -> None:
        self.inner.warn(text)

    def reading(self, done: int) -> None:
        self.inner.reading(done)

    def tokens(self, done: int, total: int) -> None:
        self.inner.tokens(done, total)

    def download(self, done: int, total: int | None) -> None:
        self.inner.download(done, total)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, name: str, value: float) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, self._done)
