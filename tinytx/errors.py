"""Every deliberate failure of tinytx and the exit code that it ends with.

    TinytxError
    ├── PrerequisiteError    1   this machine lacks something
    │   └── LibraryError     1   a library is missing, broken or too old
    ├── CorpusError          2   the text cannot be used
    ├── TokenizerError       3   no tokenizer could be made or read
    ├── TrainingError        4   training failed
    │   ├── CheckpointError  4   a checkpoint is damaged or not ours
    │   └── ProcessLost      4   another process of a run has gone
    ├── ValidationError      5   what training wrote does not hold up
    ├── ExportError          6   no bundle could be made
    │   └── ParityError      6   ONNX and PyTorch disagree
    ├── BudgetFailed         7   a measured figure is proven to be over its limit
    ├── MeasurementInvalid   8   a figure is not proven either way, or means nothing here
    ├── BundleError          9   a bundle is missing, damaged or not trusted
    │   └── TrustError       9   a release's signature or statement does not allow it here
    ├── DeviceError         10   a device cannot be reached, or its store cannot be used
    ├── UsageError          64   a wrong flag, setting or argument
    │   ├── OverwriteRefused 64  something is there that nobody said may be replaced
    │   └── PlanError       64   no model fits the time, the device and the text
    └── Interrupted        130   Ctrl-C or SIGTERM

Anything else that reaches the top is a bug in tinytx and ends with 70.
"""

from collections.abc import Iterator
from contextlib import contextmanager

EXIT_BUG = 70
DOCTOR = "`tinytx doctor` tries every library and says what to do"


class TinytxError(Exception):
    """A failure that the user can understand: one sentence, and perhaps what to do about it."""

    exit_code = EXIT_BUG

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(self.message)


def printable(text: str) -> str:
    """``text`` as UTF-8 can hold it: a file's name may have bytes that are no characters, which
    Python keeps as lone surrogates; here they are written out, as ``\\xe9``."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate of another kind
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


class PrerequisiteError(TinytxError):
    """This machine lacks something that the command needs."""

    exit_code = 1


class LibraryError(PrerequisiteError):
    """A library that we need is missing, cannot be loaded, or is too old."""

    def __init__(self, message: str, remedy: str = DOCTOR) -> None:
        super().__init__(message, remedy)


class CorpusError(TinytxError):
    """The training or validation text is missing, unreadable or unusable."""

    exit_code = 2


class TokenizerError(TinytxError):
    """A tokenizer could not be trained, read or applied."""

    exit_code = 3


class TrainingError(TinytxError):
    """Training could not start, or went wrong on the way."""

    exit_code = 4


class CheckpointError(TrainingError):
    """A checkpoint is missing, truncated, holds a pickle, or belongs to another run."""


class ProcessLost(TrainingError):
    """Another process that trains the same model has ended or cannot be reached."""


class ValidationError(TinytxError):
    """What training wrote is missing, unreadable or no better than chance."""

    exit_code = 5


class ExportError(TinytxError):
    """No bundle could be made from the checkpoint."""

    exit_code = 6


class ParityError(ExportError):
    """The exported graph and the PyTorch model disagree: nothing is shipped."""


class BudgetFailed(TinytxError):
    """At least one budget is proven to be exceeded."""

    exit_code = 7


class MeasurementInvalid(TinytxError):
    """At least one budget is neither proven kept nor proven exceeded."""

    exit_code = 8


class BundleError(TinytxError):
    """A bundle is missing, damaged or not trusted."""

    exit_code = 9


class TrustError(BundleError):
    """A release is unsigned, or its signature or statement does not allow it on this device."""


class DeviceError(TinytxError):
    """A device cannot be reached, lacks something, or its store cannot be used."""

    exit_code = 10


class UsageError(TinytxError):
    """A flag, setting or argument that makes no sense."""

    exit_code = 64


class OverwriteRefused(UsageError):
    """An earlier run's work is there, and nobody said that it may be replaced."""


class PlanError(UsageError):
    """No model fits what was asked: the time, the device's budgets, the text, this machine."""


class Interrupted(TinytxError):
    """The user or the system asked the program to stop."""

    exit_code = 130


@contextmanager
def os_errors_as(kind: type[TinytxError], doing: str) -> Iterator[None]:
    """Turn an ``OSError`` (a full disk, no permission, a folder in the way) into ``kind``.

    ``doing`` completes the sentence "cannot ...", for example "write the corpus".
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        why = error.strerror or str(error)
        raise kind(f"cannot {doing}: {why}{where}") from error
