"""The plan of an output directory: made once for a text and a request, and kept in ``plan.toml``.

A second run with the same text and the same request takes the plan that is there, whatever the
machine is busy with by then. ``--resume`` keeps the plan of the run that it continues, and
``--overwrite`` makes a new one.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from tinytx.config import Settings, as_dict
from tinytx.errors import CheckpointError, CorpusError, TrainingError, os_errors_as
from tinytx.fit.plan import SECTIONS, Plan, make_plan, read_plan, to_toml
from tinytx.fit.request import Request
from tinytx.fit.text import look_at
from tinytx.fit.times import told
from tinytx.train.progress import Reporter
from tinytx.wording import counted
from tinytx.workspace import Workspace, atomic_write, sha256_file

if TYPE_CHECKING:
    from tinytx.train.job import Options

TRAINING_BUDGET = 600.0
"""Seconds that 20 epochs may take: bench/budgets/constitution.toml."""


class PlanKeeper:
    """Makes the plan of a run, or finds it.

    ``base`` are the settings without a plan, of which those ``pinned`` stay as they are.
    """

    def __init__(
        self, base: Settings, pinned: frozenset[str], request: Request, options: "Options"
    ) -> None:
        self.base, self.pinned, self.request, self.options = base, pinned, request, options
        self.plan: Plan | None = None
        self._fresh = False

    def known(self, space: Workspace) -> Settings | None:
        """The settings of the plan that is there, if it was made for the same request and text.

        Raises :class:`CheckpointError` when ``--resume`` asks for another plan than that of the
        run, and :class:`UsageError` when its file is none that can be read.
        """
        if self.options.resume:
            return self._of_the_run(space)
        again = self.options.resume_if_possible or not self.options.overwrite
        if not again or not self._matches(space):
            return None
        self.plan, self._fresh = read_plan(space.plan), False
        return self._settings()

    def settle(self, space: Workspace, reporter: Reporter) -> Settings:
        """The settings of the plan; made now, where there is none for this text."""
        known = self.known(space)
        if known is not None:
            if self.plan:
                reporter.note(f"the plan that is there holds: {_summary(self.plan)}")
            return known
        reporter.note(
            f"planning for {told(self.request.seconds)} (the machine is measured once, up to 15 s)"
        )
        with os_errors_as(CorpusError, "look at the text"):
            text = look_at(space.train_text, space.val_text)
        self.plan, self._fresh = make_plan(text, self.base, self.pinned, self.request), True
        reporter.note(f"plan: {_summary(self.plan)}")
        for line in (*self.plan.reasons, self.plan.next_larger, *_verdict(self.plan)):
            reporter.note(f"  {line}")
        return self._settings()

    def keep(self, space: Workspace) -> None:
        """Write ``plan.toml`` and its stamp."""
        if not self._fresh or self.plan is None:
            return
        whole = msgspec.structs.replace(self.plan, settings=self._settings())
        with os_errors_as(TrainingError, "write the plan"):
            atomic_write(space.plan, to_toml(whole).encode())
            space.stamp("plan").write(self._question(), self._inputs(space), [space.plan])

    def _of_the_run(self, space: Workspace) -> Settings:
        """The plan of the run that ``--resume`` continues; its own settings where it has none."""
        asks = self.request.asked or self.request.device or self.request.budgets
        if not space.plan.exists():
            if asks:
                raise CheckpointError(
                    f"the run in {space.root} was not planned, and --resume cannot change that",
                    "leave out --time, --device and --budgets; --overwrite starts afresh",
                )
            return self.base
        if asks and not self._matches(space):
            raise CheckpointError(
                f"the run in {space.root} was planned for another time, device or text",
                "--resume alone keeps its plan; --overwrite in its place starts afresh",
            )
        self.plan = read_plan(space.plan)
        return self._settings()

    def _settings(self) -> Settings:
        """The plan's settings with what the user has decided."""
        if self.plan is None:
            return self.base
        ours, merged = as_dict(self.base), as_dict(self.plan.settings)
        for key in self.pinned:
            section, name = key.split(".")
            merged[section][name] = ours[section][name]
        return msgspec.convert({**merged, "corpus": ours["corpus"]}, Settings)

    def _matches(self, space: Workspace) -> bool:
        """Whether the plan that is there was made for this request and the text that is there."""
        if not (space.train_text.is_file() and space.val_text.is_file()):
            return False
        return space.stamp("plan").matches(self._question(), self._inputs(space))

    def _question(self) -> dict[str, Any]:
        """What a plan depends on besides the text and the machine."""
        base = as_dict(self.base)
        return {
            "request": msgspec.to_builtins(self.request, enc_hook=str),
            "pinned": sorted(self.pinned),
            "base": {section: base[section] for section in SECTIONS},
        }

    def _inputs(self, space: Workspace) -> dict[str, str]:
        files = {"train": space.train_text, "val": space.val_text}
        if self.request.budgets is not None and self.request.budgets.is_file():
            files["budgets"] = self.request.budgets
        return {name: sha256_file(path) for name, path in files.items()}


def _summary(plan: Plan) -> str:
    model, training = plan.settings.model, plan.settings.training
    return (
        f"{plan.settings.tokenizer.vocab_size:,} pieces, {counted(model.layers, 'layer')} of "
        f"{model.width}, {plan.settings.parameters:,} weights ({plan.model_bytes / 1e6:.2f} MB in "
        f"{plan.model_precision}), {counted(training.epochs, 'epoch')} in about "
        f"{told(plan.seconds)}, about {plan.bits_per_byte:.3f} bits per byte"
    )


def _verdict(plan: Plan) -> list[str]:
    """What the plan means to the training budget, where it does not keep it."""
    twenty = 20 / plan.settings.training.epochs * plan.seconds
    if twenty < TRAINING_BUDGET:
        return []
    return [
        f"20 epochs of this model would take about {told(twenty)}: the training budget of "
        f"{told(TRAINING_BUDGET)} is not kept, and `tinytx bench` will say so"
    ]
