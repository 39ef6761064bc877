"""When ``tinytx train`` chooses the model itself, and by which words of the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytx.cli.settings.options import pinned_settings, preset_is_given
from tinytx.errors import UsageError

if TYPE_CHECKING:
    from tinytx.config import Settings
    from tinytx.fit.planner import PlanKeeper
    from tinytx.train.job import Options

HOW = {
    *("training.seed", "training.threads", "training.precision", "training.compile"),
    "training.device",
}
"""Settings that say how a run is computed, not which model it makes: they leave the choice open."""
COMPUTES = ("auto", "cpu", "cuda")


def planner_of(
    settings: "Settings",
    asked: tuple[str | None, str | None, Path | None],
    preset: str,
    config: Path | None,
    assignments: tuple[str, ...],
    flags: dict[str, Any],
    options: "Options",
) -> "PlanKeeper | None":
    """Who chooses the model: nobody, where a preset, a file or a flag does and no time is given.

    ``asked`` are --time, --device and --budgets. Raises :class:`UsageError`.
    """
    time, device, budgets = asked
    if device in COMPUTES:
        raise UsageError(
            f"--device names the device that the model is for, and {device} is none",
            f"what computes is --training-device {device}",
        )
    named = preset if preset_is_given() else None
    pinned = pinned_settings(named, config, assignments, flags, timed=time is not None)
    decided = named is not None or config is not None or _decides(pinned)
    if decided and time is None:
        if device is None and budgets is None:
            return None
        raise UsageError(
            "--device and --budgets choose a model, and the model is decided already",
            "add --time, or leave out --preset, --config and the flags of model and training",
        )
    from msgspec.structs import replace

    from tinytx.fit.planner import PlanKeeper
    from tinytx.fit.request import request_of

    request = request_of(time, device, budgets)
    if "training.epochs" in pinned:
        request = replace(request, epochs=settings.training.epochs)
    return PlanKeeper(settings, pinned, request, options)


def _decides(pinned: frozenset[str]) -> bool:
    """Whether any of them says which model is made, or how much it is trained."""
    return any(not key.startswith("corpus.") for key in pinned - HOW)
