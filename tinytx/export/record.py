"""What a bundle says about its training: the evidence for the training budget."""

from tinytx.bundle import TrainingRecord
from tinytx.errors import ExportError
from tinytx.train.metrics import Metrics


def training_record(metrics: Metrics) -> TrainingRecord:
    """The part of a run's metrics that the training budget is judged by.

    Raises :class:`ExportError` when the metrics do not say how long the run should have been.
    """
    try:
        wanted = metrics.config["training"]["epochs"]
    except (KeyError, TypeError) as error:
        raise ExportError("the training metrics hold no number of epochs") from error
    return TrainingRecord(
        epochs=len(metrics.epochs),
        epoch_seconds=[epoch.seconds for epoch in metrics.epochs],
        setup_seconds=metrics.setup_seconds,
        complete=len(metrics.epochs) == wanted and metrics.interruptions == 0,
        machine={name: str(value) for name, value in metrics.machine.items()},
    )
