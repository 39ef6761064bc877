"""What a plan is asked for, from the words of a command line."""

from pathlib import Path

import msgspec

from tinytx.fit.times import seconds_of
from tinytx.measure.policy.budgets import load_budgets

EPOCHS = 20  # of the training budget: tinytx.measure.verdict.training
SECONDS = 600.0
"""For these epochs, where the budgets name no time."""


MARGIN = 0.15
"""Of the time for a number of epochs, which predictions leave free: machines swing, the law of
seconds errs, and a verdict is given on what comes out."""
SHORTENED_MARGIN = 0.05
"""Of a time alone: a run that turns out slower ends its schedule in time, in fewer epochs, which
costs it less than a tenth of the time that it could have trained in."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Time, epochs, and the device with its budgets."""

    seconds: float
    """Of the whole run; predictions leave a margin of them free."""
    epochs: int | None = None
    """Chosen with the shape where it is None."""
    device: str | None = None
    budgets: Path | None = None
    asked: bool = True
    """Whether a user asked for this time. The constitution's is a default: where no model fits it,
    fewer epochs are taken, and at the last the quickest model, and the plan says so."""

    @property
    def margin(self) -> float:
        """Of the time, what predictions leave free."""
        return SHORTENED_MARGIN if self.epochs is None else MARGIN


def request_of(
    time_text: str | None, device: str | None = None, budgets: Path | None = None
) -> Request:
    """A time that was asked for, or the training budget: 20 epochs in under 600 s.

    Raises :class:`UsageError` for what is no time, and for a bad file of budgets.
    """
    if time_text is not None:
        seconds = seconds_of(time_text)
        return Request(seconds=seconds, device=device, budgets=budgets)
    limits = {one.name: one.limit.base / 1e9 for one in load_budgets(budgets)}
    seconds = limits.get("training_20_epochs", SECONDS)
    return Request(seconds=seconds, epochs=EPOCHS, device=device, budgets=budgets, asked=False)
